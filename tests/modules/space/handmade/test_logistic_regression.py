"""Logistic regression against its formula."""

from modules.space.handmade.logistic_regression import logistic_regression
from tests.modules.space.handmade.formula import SHAPE, Published


def test_formula():
    """wᵀ z + Σ_f w_fᵀ v_f + b, field by field."""
    own = Published(logistic_regression(SHAPE))
    weight = own["head.weight"][0]
    of_fields = weight[SHAPE.integers :].view(SHAPE.fields, SHAPE.embedding_width)
    terms = [own.fields[:, field] @ of_fields[field] for field in range(SHAPE.fields)]
    own.check(own.integers @ weight[: SHAPE.integers] + sum(terms) + own["head.bias"])
    assert list(own.parameters) == ["head.weight", "head.bias"]
