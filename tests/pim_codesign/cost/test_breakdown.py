"""Breakdowns by operator against the totals, and against the operators' own networks."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.space import NASREC_FULL, InputShape, single_operator_any_connection
from pim_codesign import Hardware, Mapping, Workload, breakdown, evaluate, workload_of_subnet
from pim_codesign.mapping import ComputedProduct, Embeddings, Stage
from pim_codesign.mapping.mapping import OperatorMapping

LOOKUP = Stage("embeddings", "", ())


def total(parts: dict[str, dict[str, float]]) -> float:
    """The sum of a table."""
    return sum(sum(of_operator.values()) for of_operator in parts.values())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["digital", "scratch_crossbar"]), st.sampled_from([64, 1024]))
def test_each_table_adds_up_to_the_cost(seed: int, engine: str, lanes: int) -> None:
    """Energy, latency and area of all operators together are the cost's own, and energy and area part by part."""
    generator = numpy.random.default_rng(seed)
    architecture = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(seed % 7))
    workload = workload_of_subnet(architecture, InputShape(13, 26, 16))
    chip = Hardware(interaction_engine=engine, digital_lanes=lanes, adc_per_operator=bool(seed % 2))
    bits = generator.choice([4, 6, 8], size=(len(workload.operators), 2)).tolist()
    mapping = Mapping(tuple(OperatorMapping(w, a, 2 ** int(generator.integers(4))) for w, a in bits))
    cost, parts = evaluate(workload, chip, mapping), breakdown(workload, chip, mapping)
    assert total(parts.energy_nj) == pytest.approx(cost.energy_nj)
    assert total(parts.latency_us) == pytest.approx(cost.latency_us)
    assert total(parts.area_mm2) == pytest.approx(cost.area_mm2)
    for table, whole in ((parts.energy_nj, cost.energy_breakdown_nj), (parts.area_mm2, cost.area_breakdown_mm2)):
        for part, value in whole.items():
            assert sum(of_operator.get(part, 0.0) for of_operator in table.values()) == pytest.approx(value)
    assert set(workload.operators) <= parts.energy_nj.keys() and set(workload.operators) <= parts.area_mm2.keys()


def test_an_operators_energy_is_what_it_takes_alone() -> None:
    """Of two matrices of a network each has the dynamic energy that it has as a network of its own."""
    layers = [Stage(name, name, (0,), vectors, inputs, 30) for name, vectors, inputs in (("a", 3, 300), ("b", 7, 20))]
    both = breakdown(Workload((LOOKUP, *layers), Embeddings(1, 1)), Hardware())
    for layer in layers:
        alone = breakdown(Workload((LOOKUP, layer), Embeddings(1, 1)), Hardware())
        assert both.energy_nj[layer.name] == pytest.approx(alone.energy_nj[layer.name])


def test_a_stage_that_waits_for_the_lanes_stands_behind_their_holder() -> None:
    """Two branches of digital work: the latency is one's crossbars and both's digital time."""
    product = ComputedProduct(vectors=64, rows=64, columns=64, count=1, multiply_accumulates=64**3)
    layers = [Stage(name, name, (), 1, 16, 16, computed=(product,)) for name in ("a", "b")]
    workload = Workload((LOOKUP, *layers), Embeddings(1, 1))
    found = breakdown(workload, Hardware()).latency_us
    assert found == {
        "a": {"crossbars": pytest.approx(1.1), "digital": pytest.approx(1.024)},
        "b": {"digital": pytest.approx(1.024)},
    }
    assert evaluate(workload, Hardware()).latency_us == pytest.approx(1.1 + 2 * 1.024)
