"""Limits of a candidate's costs: what is counted is compared exactly, and settings are checked."""

import numpy
import pytest

from modules.space import NASREC_FULL, InputShape, multiply_accumulates, parameter_count, single_operator_any_connection
from pipeline.search.config import EvolutionConfig, NSGA2Config, RandomSearchConfig
from pipeline.search.limits import Limits

SHAPE = InputShape(integers=3, fields=5, embedding_width=4)


def test_a_limit_allows_what_is_on_it() -> None:
    """An architecture with exactly so many is allowed, one more is not; 0 is no limit."""
    architecture = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(0))
    products, parameters = multiply_accumulates(architecture, SHAPE), parameter_count(architecture, SHAPE)
    assert Limits().allows(architecture, SHAPE)
    assert Limits(max_mflops=products / 1e6, max_params=parameters).allows(architecture, SHAPE)
    assert not Limits(max_mflops=(products - 1) / 1e6).allows(architecture, SHAPE)
    assert not Limits(max_params=parameters - 1).allows(architecture, SHAPE)


@pytest.mark.parametrize("kind", [EvolutionConfig, NSGA2Config, RandomSearchConfig])
def test_every_strategy_has_them(kind: type[Limits]) -> None:
    """They are settings of each strategy, at least 0 and finite; latency is measured where it is limited."""
    assert kind(max_latency_us=5.0).measures_latency and not kind(max_mflops=1.0).measures_latency
    for wrong in ({"max_mflops": -1.0}, {"max_params": -1}, {"max_latency_us": float("nan")}):
        with pytest.raises(
            ValueError, match=rf"search\.{next(iter(wrong))} is .*; it must be at least 0 \(0: no limit\)"
        ):
            kind(**wrong)
