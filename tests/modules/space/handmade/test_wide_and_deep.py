"""Wide & Deep against its formula."""

import torch

from modules.space.handmade.wide_and_deep import wide_and_deep
from tests.modules.space.handmade.formula import SHAPE, Published


def test_formula():
    """w_wideᵀ x + w_deepᵀ a + b (arXiv:1606.07792, equation 3), x what the DNN reads and a its last hidden layer."""
    own = Published(wide_and_deep(SHAPE, (8, 5)))
    x = torch.cat([own.integers, own.fields.flatten(1)], 1)
    of_integers, deep, of_fields = own["head.weight"][0].split(
        [SHAPE.integers, 5, SHAPE.fields * SHAPE.embedding_width]
    )
    wide = torch.cat([of_integers, of_fields])
    own.check(x @ wide + own.mlp(x, (0, 1)) @ deep + own["head.bias"])
