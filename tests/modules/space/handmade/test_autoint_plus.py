"""AutoInt+ against its formula."""

import torch

from modules.operators import InteractingAttention
from modules.space.handmade.autoint_plus import autoint_plus
from tests.modules.space.handmade.formula import SHAPE, Published
from tests.modules.space.handmade.test_autoint import HEADS, LAYERS, interacted


def test_formula():
    """AutoInt's logit and a DNN's, added up."""
    own = Published(autoint_plus(SHAPE, InteractingAttention(layers=LAYERS, heads=HEADS), (8, 5)))
    deep = own.mlp(own.vectors().flatten(1), (0, 1))
    own.check(own.linear("head", torch.cat([deep, interacted(own).flatten(1)], 1))[:, 0])
