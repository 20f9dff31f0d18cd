"""The DNN against its formula."""

import torch

from modules.space.handmade.dnn import dnn
from tests.modules.space.handmade.formula import SHAPE, Published


def test_formula():
    """Hidden layers with ReLU on [z, v_1 … v_F], then the logit."""
    own = Published(dnn(SHAPE, (8, 5)))
    hidden = own.mlp(torch.cat([own.integers, own.fields.flatten(1)], 1), (0, 1))
    own.check(own.linear("head", hidden)[:, 0])
