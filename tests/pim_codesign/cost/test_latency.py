"""Shared lanes: never faster than private ones, whatever the order in which independent stages are listed."""

import dataclasses
import itertools
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pim_codesign import Hardware, Mapping, OperatorMapping, Workload, evaluate
from pim_codesign.cost.columns import HardwareColumns, MappingColumns
from pim_codesign.cost.latency import shared_latency_ns
from pim_codesign.cost.model import Work
from pim_codesign.mapping import Embeddings, Stage


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    """Random graphs with matrices and digital work."""
    stages = [Stage("embeddings", "", ())]
    for index in range(1, draw(st.integers(2, 9))):
        depends = tuple(sorted(draw(st.sets(st.integers(0, index - 1), max_size=3))))
        sizes = draw(st.sampled_from([(0, 0, 0), (1, 20, 20), (6, 200, 9)]))
        digital = [draw(st.sampled_from([0, 0, 300, 5000])) for _ in range(3)]
        stages.append(
            Stage(f"s{index}", f"s{index}" if sizes[0] else "", depends, *sizes, digital[0], (), *digital[1:])
        )
    return Workload(tuple(stages), Embeddings(2, 4))


def private_latency_ns(workload: Workload, crossbar_ns: Any, digital_ns: Any) -> Any:
    """When the last stage ends if each had lanes of its own: the longest path. [1, T] each → [1]"""
    end: list[Any] = []
    for index, stage in enumerate(workload.stages):
        before = numpy.max([end[earlier] for earlier in stage.depends], axis=0) if stage.depends else 0.0
        end.append(before + crossbar_ns[:, index] + digital_ns[:, index])
    return numpy.max(end, axis=0)


def times(workload: Workload, chip: Hardware) -> tuple[Any, Any]:
    """Crossbar and digital time of each stage."""
    mapping = MappingColumns.of(workload, [Mapping.uniform(workload)])
    work = Work(workload, mapping, HardwareColumns([chip]))
    return work.crossbar_ns, work.digital_ns


@settings(max_examples=100, deadline=None)
@given(workloads(), st.sampled_from([64, 256, 1024]))
def test_shared_lanes_are_never_faster_than_private_ones(workload: Workload, lanes: Any) -> None:
    """Between the longest path and that plus all digital work; the path itself where one stage has digital work."""
    crossbar, digital = times(workload, Hardware(digital_lanes=lanes))
    private, shared = (f(workload, crossbar, digital).item() for f in (private_latency_ns, shared_latency_ns))
    assert private <= shared * (1 + 1e-12) <= (private + digital.sum()) * (1 + 1e-12)
    if (digital > 0).sum() <= 1:
        assert shared == pytest.approx(private)
    assert evaluate(workload, Hardware(digital_lanes=lanes)).latency_us == pytest.approx(shared * 1e-3)


@settings(max_examples=100, deadline=None)
@given(workloads(), st.randoms(use_true_random=False))
def test_the_order_of_independent_stages_does_not_matter(workload: Workload, random: Any) -> None:
    """Any other order in which each stage stands behind those that it waits for gives the same cost."""
    left, order = list(range(1, len(workload.stages))), [0]
    while left:
        order.append(random.choice([i for i in left if all(before in order for before in workload.stages[i].depends)]))
        left.remove(order[-1])
    place = {index: position for position, index in enumerate(order)}
    stages = [workload.stages[index] for index in order]
    moved = [dataclasses.replace(stage, depends=tuple(sorted(place[b] for b in stage.depends))) for stage in stages]
    other = Workload(tuple(moved), workload.embeddings)
    one, two = evaluate(workload, Hardware()), evaluate(other, Hardware())
    for name, value in vars(one).items():
        assert getattr(two, name) == pytest.approx(value), name


@settings(max_examples=50, deadline=None)
@given(workloads(), st.sampled_from(["weight_bits", "activation_bits"]))
def test_no_cost_falls_with_bits(workload: Workload, kind: str) -> None:
    """From 4 to 6 to 8 bits of one operator: energy, latency and area rise or stay."""
    if not workload.operators:
        return
    for index in range(len(workload.operators)):
        costs = []
        for bits in (4, 6, 8):
            operators = [OperatorMapping()] * len(workload.operators)
            operators[index] = OperatorMapping(**{kind: bits})
            costs.append(evaluate(workload, Hardware(), Mapping(tuple(operators))))
        for low, high in itertools.pairwise(costs):
            assert low.latency_us <= high.latency_us * (1 + 1e-12)
            assert low.energy_nj <= high.energy_nj * (1 + 1e-12)
            assert low.area_mm2 <= high.area_mm2 * (1 + 1e-12)


@settings(max_examples=50, deadline=None)
@given(workloads())
def test_more_lanes_are_never_slower(workload: Workload) -> None:
    """An order that is fixed has no scheduling anomalies."""
    latencies = [evaluate(workload, Hardware(digital_lanes=lanes)).latency_us for lanes in (64, 256, 1024)]  # type: ignore[arg-type]
    assert latencies == sorted(latencies, reverse=True)


@settings(max_examples=30, deadline=None)
@given(workloads(), st.integers(0, 1000))
def test_a_longer_part_never_ends_earlier(workload: Workload, seed: int) -> None:
    """Latency is monotone in every stage's crossbar and digital time."""
    crossbar, digital = times(workload, Hardware())
    more = numpy.random.default_rng(seed).exponential(100, (2, *crossbar.shape))
    before = shared_latency_ns(workload, crossbar, digital)
    assert shared_latency_ns(workload, crossbar + more[0], digital + more[1] * (digital > 0)) >= before
