"""One weight-sharing network, its sub-networks as views of its weights, and the optimizer that walks only those."""

from modules.supernet.optimizer import SlicedAdagrad, SlicedAdam, SlicedOptimizer, SlicedSGD
from modules.supernet.siblings import Siblings
from modules.supernet.subnet import OwnWeights, Subnet
from modules.supernet.supernet import Path, Slice, Supernet, common_slices, extract, sum_gradients

__all__ = [
    "OwnWeights",
    "Path",
    "Siblings",
    "Slice",
    "SlicedAdagrad",
    "SlicedAdam",
    "SlicedOptimizer",
    "SlicedSGD",
    "Subnet",
    "Supernet",
    "common_slices",
    "extract",
    "sum_gradients",
]
