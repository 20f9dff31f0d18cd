"""Counts of matrices on crossbars against a matrix that is laid out cell by cell."""

import dataclasses
import itertools
import math
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pim_codesign import Hardware
from pim_codesign.circuits import ADC_BITS, ISAAC_ADC
from pim_codesign.cost.columns import HardwareColumns
from pim_codesign.cost.crossbars import cycle_ns, lay_out


def counts(hardware: Hardware, vectors: int, inputs: int, outputs: int, w: int, a: int, dup: int) -> dict[str, int]:
    """The counts of one matrix on one chip."""
    v, i, o, weight, activation, copies = (numpy.array([[number]]) for number in (vectors, inputs, outputs, w, a, dup))
    found = lay_out(*(n.astype(float) for n in (v, i, o, weight, activation, copies)), HardwareColumns([hardware]))
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
    # With offset coding each array has a column of ones beside its own.
    units = {(row, array, "ones") for row, array in arrays} if not differential else set()
    assert found["conversions"] == vectors * cycles * (len(columns) + len(units))
    assert found["row_cycles"] == vectors * cycles * len(driven) * signs
    ones = 0 if differential else len(driven)
    assert found["cell_cycles"] == vectors * cycles * (len(cells) * signs + ones)
    assert found["crossbar_ns"] == pytest.approx((len(range(0, vectors, dup)) * cycles + 3) * 100)


def test_a_stage_without_a_matrix_has_nothing() -> None:
    """No arrays, conversions or time."""
    found = counts(Hardware(), 0, 0, 0, 8, 8, 1)
    assert not any(found.values())


@pytest.mark.parametrize("inputs", [1, 5, 16, 64, 127, 128, 300])
@pytest.mark.parametrize("bits", [9, 10])
def test_a_converter_may_stop_after_the_bits_its_rows_need(inputs: int, bits: Any) -> None:
    """With `adc_per_operator` a conversion makes as many comparisons as the largest sum of the matrix's own rows has
    bits, and takes that many cycles and one to sample, in energy and time; else all bits of the chip's converter."""
    chip = Hardware(flip_encoding=False, adc_bits=bits, adc_per_operator=True, preset="neurosim32")
    whole = dataclasses.replace(chip, adc_per_operator=False)
    needed = math.floor(math.log2(min(inputs, 128) * 3)) + 1  # 2-bit cells, 1-bit inputs
    found, full = counts(chip, 1, inputs, 4, 8, 8, 1), counts(whole, 1, inputs, 4, 8, 8, 1)
    assert full["full_conversions"] == full["conversions"] == found["conversions"]
    assert found["full_conversions"] == pytest.approx(found["conversions"] * (needed + 1) / (bits + 1))
    assert found["crossbar_ns"] == pytest.approx(11 * 128 * (needed + 1))  # NeuroSim: b + 1 ns, slower than the cells
    assert full["crossbar_ns"] == pytest.approx(11 * 128 * (bits + 1))


def test_a_stopped_converter_is_dearer_than_a_small_one() -> None:
    """The native converter of the stopped one's bits takes less energy: stopping is not free of the larger array."""
    for bits, native in itertools.pairwise(range(10, 3, -1)):
        for stop in range(native, 3, -1):
            energy = ISAAC_ADC.energy_pj[ADC_BITS.index(bits)] * (stop + 1) / (bits + 1)
            assert energy > ISAAC_ADC.energy_pj[ADC_BITS.index(stop)] * 0.999


def test_a_slow_bus_sets_the_pace() -> None:
    """Cells of 3.16 ns wait for 384 wires at 1 GHz: a pass lasts as long as its vector's way, and so does the fetch."""
    chip = Hardware(preset="mnsim", cell_bits=1, columns_per_adc=8, sign_coding="differential", flip_encoding=False)
    cycle = 8 / 1.28
    assert counts(chip, 5, 2048, 2048, 8, 8, 1)["crossbar_ns"] == pytest.approx(
        2 * cycle + 6 * math.ceil(4096 * 8 / 384)
    )
    assert counts(chip, 5, 64, 16, 8, 8, 1)["crossbar_ns"] == pytest.approx((5 * 8 + 3) * cycle)


def test_a_cycle_lasts_as_long_as_reading_or_converting() -> None:
    """128 columns per converter at 1.28 GS/s take exactly the 100 ns of a read; a slower converter sets the cycle."""
    chips = [Hardware(), Hardware(columns_per_adc=8), Hardware(preset="neurosim32")]
    assert cycle_ns(HardwareColumns(chips))[:, 0] == pytest.approx([100, 100, 128 * 9])
