"""DNN: hidden layers on the integers and the flattened vectors, then the logit (FNN, arXiv:1601.02376)."""

from modules.operators import Head, InputShape, WideFullyConnected
from modules.space.architecture import Architecture
from modules.space.handmade.blocks import tower

DEEP_LAYERS = (400, 400, 400)
"""Widths of the hidden layers of DNN, Wide & Deep and DeepFM in DeepFM's paper (arXiv:1703.04247, section 3.1)."""


def dnn(shape: InputShape, layers: tuple[int, ...] = DEEP_LAYERS) -> Architecture:
    """Hidden layers of these widths, at least one."""
    first = WideFullyConnected(sides="both", norm=False)
    return Architecture(tower(layers, first), head=Head((len(layers),), ()))
