"""AutoInt+: AutoInt with a DNN beside it, trained jointly (arXiv:1810.11921, section 5.5)."""

import dataclasses

from modules.operators import Head, InputShape, InteractingAttention
from modules.space.architecture import Architecture
from modules.space.handmade.autoint import PUBLISHED
from modules.space.handmade.blocks import BOTTOM, tower


def autoint_plus(
    shape: InputShape, attention: InteractingAttention = PUBLISHED, layers: tuple[int, ...] = (400, 400)
) -> Architecture:
    """The head reads the last attention layer and the last hidden layer."""
    first, *others = tower(layers)
    beside = dataclasses.replace(first, sparse_operators=(attention,))
    return Architecture((beside, *others), BOTTOM, Head((len(layers),), (1,)))
