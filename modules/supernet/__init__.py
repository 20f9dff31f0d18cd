"""One weight-sharing network, its sub-networks as views of its weights, and the optimizer that walks only those."""

from modules.supernet.optimizer import SlicedAdagrad
from modules.supernet.subnet import Subnet
from modules.supernet.supernet import Path, Slice, Supernet, extract

__all__ = ["Path", "Slice", "SlicedAdagrad", "Subnet", "Supernet", "extract"]
