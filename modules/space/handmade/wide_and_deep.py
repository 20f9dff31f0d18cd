"""Wide & Deep: a linear model and a DNN, added up (arXiv:1606.07792). Crossed columns, made by hand, are the data's."""

from modules.operators import Head, InputShape, WideFullyConnected
from modules.space.architecture import Architecture
from modules.space.handmade.blocks import tower
from modules.space.handmade.dnn import DEEP_LAYERS


def wide_and_deep(shape: InputShape, layers: tuple[int, ...] = DEEP_LAYERS) -> Architecture:
    """The head reads the last hidden layer and the stem."""
    first = WideFullyConnected(sides="both", norm=False)
    return Architecture(tower(layers, first), head=Head((0, len(layers)), (0,)))
