"""AutoInt: interacting attention layers on the vectors, then the logit (arXiv:1810.11921)."""

from modules.operators import Head, InputShape, InteractingAttention
from modules.space.architecture import Architecture
from modules.space.handmade.blocks import BOTTOM, block

PUBLISHED = InteractingAttention(layers=3, heads=2)
"""The paper's layers and heads (section 5.1). Its layers' vectors have 64 numbers, here D as the fields'."""


def autoint(shape: InputShape, attention: InteractingAttention = PUBLISHED) -> Architecture:
    """The head reads the flattened vectors of the last layer."""
    return Architecture((block(sparse=attention),), BOTTOM, Head((), (1,)))
