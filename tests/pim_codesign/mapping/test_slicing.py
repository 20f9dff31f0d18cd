"""Counts of one matrix on crossbars: target V3 and properties."""

import math

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pim_codesign.mapping.slicing import ceil_divide, lossless_adc_bits, slices


@pytest.mark.parametrize(
    ("rows", "cell_bits", "dac_bits", "bits"), [(128, 2, 1, 9), (128, 2, 2, 11), (256, 2, 1, 10), (64, 1, 1, 7)]
)
def test_v3_lossless_adc_bits(rows: int, cell_bits: int, dac_bits: int, bits: int) -> None:
    """V3: the published cases exactly; flip encoding saves one bit."""
    assert lossless_adc_bits(rows, cell_bits, dac_bits) == bits
    assert lossless_adc_bits(rows, cell_bits, dac_bits, flip_encoding=True) == bits - 1


@given(st.integers(1, 512), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4]))
def test_lossless_bits_are_the_fewest_that_hold_the_largest_sum(rows: int, cell_bits: int, dac_bits: int) -> None:
    """2^b* values hold 0 … R(2^c−1)(2^d−1), and 2^(b*−1) do not."""
    largest = rows * (2**cell_bits - 1) * (2**dac_bits - 1)
    bits = int(lossless_adc_bits(rows, cell_bits, dac_bits))
    assert 2 ** (bits - 1) <= largest < 2**bits
    assert bits == math.ceil(math.log2(largest + 1))


@given(st.integers(2, 16), st.sampled_from([1, 2, 4]), st.booleans())
def test_slices_hold_the_magnitude(weight_bits: int, cell_bits: int, differential: bool) -> None:
    """S cells of c bits hold w (offset) or w − 1 bits (differential), and S − 1 do not."""
    held = weight_bits - differential
    count = int(slices(weight_bits, cell_bits, differential))
    assert (count - 1) * cell_bits < held <= count * cell_bits


def test_ceil_divide_on_arrays() -> None:
    """⌈a/b⌉ in integers, elementwise."""
    assert ceil_divide(numpy.array([0, 1, 8, 9]), 8).tolist() == [0, 1, 1, 2]
