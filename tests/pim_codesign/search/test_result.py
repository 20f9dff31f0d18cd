"""What a search returns."""

import pytest

from pim_codesign import PRESETS, Mapping, Workload, evaluate, naive_point
from pim_codesign.hardware import PresetName
from pim_codesign.mapping import Embeddings, Stage

WORKLOAD = Workload(
    (Stage("embeddings", "", ()), Stage("a", "a", (0,), 1, 30, 8), Stage("b", "b", (1,), 4, 8, 1)), Embeddings(2, 4)
)


@pytest.mark.parametrize("name", list(PRESETS))
def test_the_naive_point_is_eight_bits_and_its_cost(name: PresetName) -> None:
    """W8A8 without replication on the given chip, with the cost model's figures."""
    chip = PRESETS[name]
    point = naive_point(WORKLOAD, chip, 0.45)
    assert point.mapping == Mapping.uniform(WORKLOAD, 8, 8, 1)
    assert point.cost == evaluate(WORKLOAD, chip, point.mapping)
    assert (point.hardware, point.operators, point.log_loss) == (chip, ("a", "b"), 0.45)
