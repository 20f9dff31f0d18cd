"""The whole search, on a real workload with a log loss that is known."""

import dataclasses
import itertools
import json
from typing import Any

import numpy
import pytest

from modules.space import NASREC_FULL, InputShape, single_operator_any_connection
from pim_codesign import CodesignConfig, CodesignResult, Point, bits_key, evaluate, workload_of_subnet
from pim_codesign.search.search import search

ARCHITECTURE = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(1))
WORKLOAD = workload_of_subnet(ARCHITECTURE, InputShape(13, 26, 16))
CONFIG = CodesignConfig(population=32, generations=60, log_loss_measurements=24, rounds=2, pareto_points=12)
SENSITIVITY = dict(zip(WORKLOAD.operators, numpy.random.default_rng(0).exponential(1.0, 100), strict=False))


class Loss:
    """Rounding noise of each operator, not quite additive; counts its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __call__(self, bits: dict[str, tuple[int, int]]) -> float:
        self.calls.append(bits_key(bits))
        total = sum(SENSITIVITY[name] * (4.0**-w + 2 * 4.0**-a) for name, (w, a) in bits.items())
        return 0.45 + 0.05 * total + 0.01 * total**2


def run(loss: Loss, measured: dict[str, float] | None = None, config: CodesignConfig = CONFIG) -> CodesignResult:
    """One search with a fixed generator."""
    return search(WORKLOAD, loss, config, numpy.random.default_rng(7), measured)


def measured_log_loss(point: Point) -> float:
    """The point's log loss, which every point of a search has."""
    assert point.log_loss is not None
    return point.log_loss


def objectives(point: Point) -> numpy.ndarray:
    """What is minimized."""
    cost = point.cost
    return numpy.array([measured_log_loss(point), cost.latency_us, cost.energy_nj, cost.area_mm2])


@pytest.fixture(scope="module")
def result() -> CodesignResult:
    """Shared by the tests that only look."""
    return run(Loss())


def test_measurements_keep_to_the_budget_and_are_never_repeated() -> None:
    """The caller's function runs once for each different choice of bits, at most as often as allowed."""
    loss = Loss()
    found = run(loss)
    assert len(loss.calls) == len(set(loss.calls)) == found.measurements <= CONFIG.log_loss_measurements
    assert found.measurements > CONFIG.log_loss_measurements // 2


def test_every_reported_log_loss_is_measured(result: CodesignResult) -> None:
    """Each reported point's log loss is the function's value at its own bits, and its cost is `evaluate`'s."""
    for point in (*result.pareto, *result.evaluated, result.naive, *result.presets):
        mapped = zip(point.operators, point.mapping.operators, strict=True)
        assert point.log_loss == Loss()({name: (o.weight_bits, o.activation_bits) for name, o in mapped})
        assert point.cost == evaluate(WORKLOAD, point.hardware, point.mapping)
        assert point.cost.lossless


def test_the_pareto_set_holds_no_dominated_point(result: CodesignResult) -> None:
    """No point of the set is as good as another in everything and better in something; energies rise."""
    for one, other in itertools.permutations(result.pareto, 2):
        a, b = objectives(one), objectives(other)
        assert not ((a <= b).all() and (a < b).any())
    energies = [point.cost.energy_nj for point in result.pareto]
    assert energies == sorted(energies)
    assert len(result.pareto) <= CONFIG.pareto_points


def test_nothing_evaluated_beats_the_pareto_set(result: CodesignResult) -> None:
    """Every evaluated point within the log-loss limit is dominated, or thinned from the full front, never better."""
    limit = measured_log_loss(result.naive) + CONFIG.max_log_loss_increase
    usable = [point for point in result.evaluated if measured_log_loss(point) <= limit]
    for point in result.pareto:
        better = [
            other
            for other in usable
            if (objectives(other) <= objectives(point)).all()
            and (objectives(other)[1:] < objectives(point)[1:] * (1 - 1e-9)).any()
            and measured_log_loss(other) <= measured_log_loss(point)
        ]
        assert not better
    assert all(measured_log_loss(point) <= limit for point in result.pareto)


def test_it_finds_what_is_better_than_naive(result: CodesignResult) -> None:
    """There are points that lose to W8A8 in nothing, and the cheapest takes clearly less energy."""
    naive = objectives(result.naive)
    naive[0] += CONFIG.log_loss_resolution
    assert any((objectives(point) <= naive).all() for point in result.pareto)
    for point in result.pareto:
        assert measured_log_loss(point) <= measured_log_loss(result.naive) + CONFIG.max_log_loss_increase
    assert min(point.cost.energy_nj for point in result.pareto) < 0.8 * result.naive.cost.energy_nj
    assert min(point.cost.latency_us for point in result.pareto) < 0.5 * result.naive.cost.latency_us


def test_the_same_generator_gives_the_same_result(result: CodesignResult) -> None:
    """Bit for bit."""
    assert run(Loss()) == result


@pytest.mark.slow
def test_a_stopped_search_replays_its_measurements(result: CodesignResult) -> None:
    """Stopped at any measurement and run again with what was measured, it measures the rest and ends the same."""

    class StoppingLoss(Loss):
        def __call__(self, bits: dict[str, tuple[int, int]]) -> float:
            if len(self.calls) == 9:
                raise KeyboardInterrupt
            return super().__call__(bits)

    measured: dict[str, float] = {}
    with pytest.raises(KeyboardInterrupt):
        run(StoppingLoss(), measured)
    assert len(measured) == 9
    rest = Loss()
    assert run(rest, json.loads(json.dumps(measured))) == result
    assert len(rest.calls) == result.measurements - 9


def test_a_broken_log_loss_is_refused() -> None:
    """NaN is named with the bits it came from."""
    with pytest.raises(ValueError, match="w8a8"):
        search(WORKLOAD, lambda bits: float("nan"), CONFIG, numpy.random.default_rng(0))


def test_each_preset_has_a_naive_point(result: CodesignResult) -> None:
    """One a public tool, on its own chip, and every point names the workload's operators."""
    assert [point.hardware.preset for point in result.presets] == ["isaac32", "mnsim", "neurosim32"]
    for point in (result.naive, *result.pareto, *result.evaluated, *result.presets):
        assert point.operators == WORKLOAD.operators


@pytest.mark.parametrize("preset", ["mnsim", "neurosim32"])
def test_other_presets_search_their_own_chips(preset: Any) -> None:
    """Every chip of the result has the preset's constants and converters that its source has."""
    config = dataclasses.replace(CONFIG, preset=preset, generations=12, log_loss_measurements=8)
    found = run(Loss(), config=config)
    assert {point.hardware.preset for point in found.pareto} == {preset}


LIMITS = {"max_latency_us": 0.5, "max_area_mm2": 0.7, "max_power_w": 0.6}
"""Shares of the naive mapping's."""


@pytest.mark.parametrize(
    "names", [("max_latency_us",), ("max_area_mm2",), ("max_power_w",), tuple(LIMITS)[:2]], ids=str
)
def test_limits_are_kept(result: CodesignResult, names: tuple[str, ...]) -> None:
    """Every Pareto point is within those that are given, and there is one although the naive mapping is not."""
    naive = {"max_latency_us": "latency_us", "max_area_mm2": "area_mm2", "max_power_w": "power_w"}
    limits = {name: LIMITS[name] * getattr(result.naive.cost, naive[name]) for name in names}
    found = run(Loss(), config=dataclasses.replace(CONFIG, **limits))
    assert found.pareto
    for point in found.pareto:
        assert all(getattr(point.cost, naive[name]) <= limit for name, limit in limits.items())
        assert measured_log_loss(point) <= measured_log_loss(found.naive) + CONFIG.max_log_loss_increase
    assert found.naive.cost == result.naive.cost


def test_an_impossible_limit_is_refused() -> None:
    """By its name and value, with the least that was found; it is not ignored."""
    config = dataclasses.replace(CONFIG, max_area_mm2=1e-4, generations=12)
    with pytest.raises(ValueError, match=r"codesign.max_area_mm2 is 0.0001, the least found is [\d.]+ .*raise a limit"):
        run(Loss(), config=config)


@pytest.mark.parametrize("name", LIMITS)
def test_a_negative_limit_is_refused(name: str) -> None:
    """Nor is NaN a limit."""
    for value in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=f"CodesignConfig.{name} is .*at least 0"):
            dataclasses.replace(CONFIG, **{name: value})


def test_the_bits_of_the_training_are_measured_second() -> None:
    """Whatever they are: the model's own mapping is always among the measured ones."""
    loss, draws = Loss(), numpy.random.default_rng(3)
    trained = {name: (int(draws.choice([4, 6, 8])), int(draws.choice([4, 6, 8]))) for name in WORKLOAD.operators}
    config = dataclasses.replace(CONFIG, generations=12)
    search(WORKLOAD, loss, config, numpy.random.default_rng(7), None, trained)
    assert loss.calls[1] == bits_key(trained)
