"""xDeepFM: a linear model, a compressed interaction network (CIN) and a DNN, added up (arXiv:1803.05170)."""

import dataclasses

from modules.operators import CompressedInteraction, Head, InputShape
from modules.space.architecture import Architecture
from modules.space.handmade.blocks import BOTTOM, tower


def xdeepfm(shape: InputShape, maps: tuple[int, ...] = (32, 32), layers: tuple[int, ...] = (400, 400)) -> Architecture:
    """A DNN of the paper's size for Criteo; of its CIN's three layers with 200 vectors, two with 32.

    The head reads every CIN layer's vectors, the last hidden layer and the stem. The paper sums each vector up, which
    is one weight for all of its D numbers; here each has its own. CIN layers stand beside the DNN's, so there are at
    most as many. Raises ValueError for more.
    """
    if len(maps) > len(layers):
        raise ValueError(f"xdeepfm: {len(maps)} CIN layers; give at most as many as hidden layers, {len(layers)}")
    interaction = CompressedInteraction(norm=False)
    blocks = list(tower(layers))
    for number, width in enumerate(maps):
        blocks[number] = dataclasses.replace(
            blocks[number], sparse_operators=(interaction,), sparse_width=width, sparse_inputs=(number,)
        )
    return Architecture(tuple(blocks), BOTTOM, Head((len(layers),), tuple(range(len(maps) + 1))))
