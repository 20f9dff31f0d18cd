"""Scratch crossbars: how long their cells last."""

import pytest

from pim_codesign import Hardware, Workload, evaluate
from pim_codesign.devices import ISAAC_CELL
from pim_codesign.mapping import ComputedProduct, Embeddings, Stage

PRODUCT = ComputedProduct(vectors=10, rows=16, columns=10, count=1, multiply_accumulates=1600)
WORKLOAD = Workload(
    (Stage("embeddings", "", ()), Stage("dots", "dots", (), 1, 16, 16, computed=(PRODUCT,))), Embeddings(1, 1)
)


def test_cells_that_are_written_for_each_sample_wear_out() -> None:
    """The cell's writes over samples per day, all of which write each scratch cell once: days, at full throughput."""
    cost = evaluate(WORKLOAD, Hardware(interaction_engine="scratch_crossbar"))
    assert cost.lifetime_days == pytest.approx(ISAAC_CELL.endurance_writes / (cost.throughput_per_s * 24 * 3600))
    assert cost.lifetime_days < 365


def test_without_scratch_cells_nothing_wears_out() -> None:
    """On MAC lanes, and without computed products, no cell is written."""
    assert evaluate(WORKLOAD, Hardware()).lifetime_days == float("inf")
    plain = Workload((Stage("embeddings", "", ()), Stage("a", "a", (), 1, 4, 4)), Embeddings(1, 1))
    assert evaluate(plain, Hardware(interaction_engine="scratch_crossbar")).lifetime_days == float("inf")
