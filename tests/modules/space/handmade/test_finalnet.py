"""FinalNet against its formula."""

from modules.space.handmade.finalnet import finalnet
from tests.modules.space.handmade.formula import SHAPE, Published


def test_formula():
    """Two stacks of ReLU(h₂ + h₁ ⊙ h₂), h₁ and h₂ linear in x, and the mean of their logits."""
    own = Published(finalnet(SHAPE, (8, 5), (4,)))
    made = []
    for blocks in ((0, 1), (2,)):
        x = own.vectors().flatten(1)
        for block in blocks:
            prefix = f"blocks.{block}.dense.factorized_product"
            second, first = own.linear(f"{prefix}.left", x), own.linear(f"{prefix}.right", x)
            x = (second + first * second).clamp(min=0)
        made.append(x)
    weights = (2 * own["head.weight"][0]).split([5, 4])  # the head has the mean's ½ in its weights
    first, second = (x @ weight + own["head.bias"] for x, weight in zip(made, weights, strict=True))
    own.check(0.5 * (first + second))
