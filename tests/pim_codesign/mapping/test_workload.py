"""Workloads and mappings as values."""

import pytest

from pim_codesign.mapping import Embeddings, OperatorMapping, Stage, Workload


def test_a_stage_may_wait_for_earlier_ones_only() -> None:
    """The order of the stages is one in which they can run."""
    with pytest.raises(ValueError, match=r"stage 1 \(late\)"):
        Workload((Stage("embeddings", "", ()), Stage("late", "late", (2,)), Stage("x", "x", ())), Embeddings(1, 1))
    with pytest.raises(ValueError, match="begin with"):
        Workload((Stage("late", "late", ()),), Embeddings(1, 1))


@pytest.mark.parametrize(("field", "value"), [("dup", 3), ("dup", 0), ("weight_bits", 1), ("activation_bits", 17)])
def test_impossible_mappings_are_refused(field: str, value: int) -> None:
    """A ValueError names the field."""
    with pytest.raises(ValueError, match=field):
        OperatorMapping(**{field: value})
