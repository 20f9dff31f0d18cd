"""Counts of matrices on crossbars against a matrix that is laid out cell by cell."""

import math
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pim_codesign import Hardware
from pim_codesign.cost.columns import HardwareColumns
from pim_codesign.cost.crossbars import cycle_ns, lay_out


def counts(hardware: Hardware, vectors: int, inputs: int, outputs: int, w: int, a: int, dup: int) -> dict[str, int]:
    """The counts of one matrix on one chip."""
    v, i, o, weight, activation, copies = (numpy.array([[number]]) for number in (vectors, inputs, outputs, w, a, dup))
    found = lay_out(v, i, o, weight, activation, copies, HardwareColumns([hardware]))
    return {name: column.item() for name, column in vars(found).items()}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_counts_are_those_of_a_matrix_laid_out_cell_by_cell(data: st.DataObject) -> None:
    """Every cell is put into its array, and every read, drive and conversion of every cycle is counted one by one."""
    rows, cell, dac = (data.draw(st.sampled_from(values)) for values in ((64, 128), (1, 2, 4), (1, 2, 4)))
    differential = data.draw(st.booleans())
    options: dict[str, Any] = {"array_rows": rows, "cell_bits": cell, "dac_bits": dac, "columns_per_adc": 64}
    coding: dict[str, Any] = {"sign_coding": "differential", "flip_encoding": False} if differential else {}
    chip = Hardware(**options, **coding)
    inputs, outputs = data.draw(st.integers(1, 150)), data.draw(st.integers(1, 40))
    w, a = data.draw(st.sampled_from((4, 6, 8))), data.draw(st.sampled_from((4, 6, 8)))
    vectors, dup = data.draw(st.integers(1, 9)), data.draw(st.sampled_from((1, 2, 4, 8)))
    digits = range(0, w - 1 if differential else w, cell)
    cells = [(i, o * len(digits) + s) for i in range(inputs) for o in range(outputs) for s in range(len(digits))]
    arrays = {(i // rows, column // rows) for i, column in cells}
    columns = {(i // rows, column) for i, column in cells}
    driven = {(i, column // rows) for i, column in cells}
    signs, cycles = 2 if differential else 1, len(range(0, a, dac))
    found = counts(chip, vectors, inputs, outputs, w, a, dup)
    assert found["arrays"] == len(arrays) * signs * dup
    assert found["used_cells"] == len(cells) * signs * dup
    assert found["conversions"] == vectors * cycles * len(columns)
    assert found["row_cycles"] == vectors * cycles * len(driven) * signs
    assert found["cell_cycles"] == vectors * cycles * len(cells) * signs
    assert found["cycles"] == len(range(0, vectors, dup)) * cycles + 3


def test_a_stage_without_a_matrix_has_nothing() -> None:
    """No arrays, conversions or time."""
    found = counts(Hardware(), 0, 0, 0, 8, 8, 1)
    assert not any(value for name, value in found.items() if name != "adc_bits")


@pytest.mark.parametrize("inputs", [1, 5, 16, 64, 127, 128, 300])
def test_a_converter_may_stop_after_the_bits_its_rows_need(inputs: int) -> None:
    """With `adc_per_operator`, the bits that hold the largest sum of the matrix's own rows, 4 to the chip's; else the
    chip's."""
    chip = Hardware(flip_encoding=False, adc_bits=9, adc_per_operator=True)
    largest = min(inputs, 128) * 3  # 2-bit cells, 1-bit inputs
    assert counts(chip, 1, inputs, 4, 8, 8, 1)["adc_bits"] == max(4, math.floor(math.log2(largest)) + 1)
    assert counts(Hardware(), 1, inputs, 4, 8, 8, 1)["adc_bits"] == 8


def test_a_cycle_lasts_as_long_as_reading_or_converting() -> None:
    """128 columns per converter at 1.28 GS/s take exactly the 100 ns of a read; a slower converter sets the cycle."""
    chips = [Hardware(), Hardware(columns_per_adc=8), Hardware(preset="neurosim32")]
    assert cycle_ns(HardwareColumns(chips))[:, 0] == pytest.approx([100, 100, 128 * 9])
