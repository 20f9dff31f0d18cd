"""DeepFM: a linear model, a factorization machine and a DNN on the same vectors, added up (arXiv:1703.04247)."""

from modules.operators import FactorizationMachine, Head, InputShape
from modules.space.architecture import Architecture
from modules.space.handmade.blocks import BOTTOM, block, tower
from modules.space.handmade.dnn import DEEP_LAYERS


def deepfm(shape: InputShape, layers: tuple[int, ...] = DEEP_LAYERS) -> Architecture:
    """The head reads the factorization machine, the last hidden layer and the stem.

    Its weights of the factorization machine's D numbers are free; weights of 1 are the paper's sum.
    """
    machine = block(FactorizationMachine())
    return Architecture((machine, *tower(layers, after=1)), BOTTOM, Head((1, 1 + len(layers)), (0,)))
