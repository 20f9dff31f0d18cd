"""The report's tables of the chip and of time as values: which mappings they hold, what is chosen, and durations."""

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.run_records import RunRecords, read_run
from pipeline.report.tables import (
    SHOWN_MAPPINGS,
    codesign_tables,
    compared_energy,
    duration,
    hardware_table,
    mappings_table,
    operators_table,
    pareto_table,
    presets_table,
    timings_table,
)
from pipeline.run.records.codesign import Codesign
from pipeline.run.records.progress import StageTiming


@pytest.fixture(scope="module")
def run(finished_run: Path) -> RunRecords:
    """A complete run."""
    return read_run(finished_run)


@pytest.fixture
def codesign(run: RunRecords) -> Codesign:
    """Its mappings."""
    assert run.codesign is not None
    return run.codesign


def test_mappings_begin_with_the_naive_one(codesign: Codesign) -> None:
    """Then the hand-made models, then Pareto points by rising energy, the chosen one tagged once."""
    rows = mappings_table(codesign).rows
    by_hand = sum(1 + (one.chosen is not None) for one in codesign.handmade)
    count = 1 + by_hand
    assert [row.kind for row in rows[:count]] == ["naive", *["handmade"] * by_hand]
    energies = {point.label: point.energy_nj for point in codesign.pareto}
    shown = [energies[row.cells[0]] for row in rows[count:]]
    assert shown == sorted(shown)
    assert [row.cells[0] for row in rows if row.tag == "chosen"] == [codesign.chosen.label]


@pytest.mark.parametrize("count", [SHOWN_MAPPINGS, SHOWN_MAPPINGS + 1, 100])
def test_a_large_pareto_set_is_thinned_and_shown_whole_on_request(codesign: Codesign, count: int) -> None:
    """More points than fit are thinned, ends and chosen point kept, and a folded table holds all of them."""
    points = tuple(
        dataclasses.replace(codesign.naive, label=f"p{place}", energy_nj=10.0 + place, latency_us=1000.0 - place)
        for place in range(count)
    )
    many = dataclasses.replace(codesign, pareto=points)
    shown = [row.cells[0] for row in mappings_table(many).rows if row.kind not in ("naive", "handmade")]
    assert {"p0", f"p{count - 1}", many.chosen.label} <= set(shown)
    assert SHOWN_MAPPINGS <= len(shown) <= SHOWN_MAPPINGS + 1
    whole = pareto_table(many)
    assert whole.folded and len(whole.rows) == (count if count > SHOWN_MAPPINGS else 0)


def test_hand_made_models_are_not_compared_with_the_winners_float_log_loss(codesign: Codesign) -> None:
    """The column is a dash for them, and the signed difference for every other mapping with a log loss."""
    table = mappings_table(codesign)
    column = table.heads.index("against float")
    for row in table.rows:
        assert (row.cells[column] == "–") == (row.kind == "handmade")


def test_operators_and_hardware_are_the_chosen_mappings(codesign: Codesign) -> None:
    """Bits and copies per operator; of the chip's options those that differ are marked."""
    chosen = codesign.chosen
    rows = [row.cells for row in operators_table(codesign).rows]
    expected = [(one.name, one.weight_bits, one.activation_bits, one.dup) for one in chosen.operators]
    assert rows == [tuple(map(str, one)) for one in expected]
    changed = {row.cells[0].replace(" ", "_") for row in hardware_table(codesign).rows if row.kind == "chosen"}
    naive = codesign.naive.hardware
    assert changed == {key for key, value in chosen.hardware.items() if value != naive[key]}
    kept = dataclasses.replace(codesign, pareto=())
    assert "keeps the naive one's chip" in hardware_table(kept).caption


def test_presets_say_their_spread(codesign: Codesign) -> None:
    """The caption has the ratio of the largest to the smallest energy."""
    energies = [one.point.energy_nj for one in codesign.presets]
    (factor,) = re.findall(r"factor of ([\d.,]+)\.", presets_table(codesign).caption)
    assert float(factor.replace(",", "")) == pytest.approx(max(energies) / min(energies), rel=0.005)


def test_timings() -> None:
    """One row per stage, seconds as durations, memory in GB."""
    table = timings_table({"search": StageTiming(61.2, 4.25, 1.2345)})
    assert [row.cells for row in table.rows] == [("search", "1 min 01 s", "4.2 s", "1.23")]


@given(st.floats(0, 1e6))
def test_durations(seconds: float) -> None:
    """Read back, a duration is the seconds to half of its smallest unit."""
    units = {"s": 1, "min": 60, "h": 3600}
    parts = re.findall(r"([\d.]+) (h|min|s)", duration(seconds))
    smallest = 0.1 if len(parts) == 1 else units[parts[-1][1]]
    # Hours and minutes are cut, not rounded.
    slack = smallest if "h" in units and parts[0][1] == "h" else smallest / 2
    assert sum(float(value) * units[unit] for value, unit in parts) == pytest.approx(seconds, abs=slack + 0.51)


def test_comparison_in_words(codesign: Codesign) -> None:
    """Energy, latency and area of the chosen mapping against the naive one, also where the two are one."""
    assert re.fullmatch(r".* (less|more) energy, .* (faster|slower), .*", compared_energy(codesign))
    kept = dataclasses.replace(codesign, pareto=())
    assert compared_energy(kept) == "the same energy, the same, the same"


def test_only_tables_with_rows(codesign: Codesign) -> None:
    """Tables without rows are left out."""
    assert "presets" in [table.name for table in codesign_tables(codesign)]
    bare = dataclasses.replace(codesign, presets=())
    assert "presets" not in [table.name for table in codesign_tables(bare)]
