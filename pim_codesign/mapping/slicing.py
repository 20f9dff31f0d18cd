"""How a matrix lies on crossbars: slices, cycles, blocks, arrays, conversions. Numbers or numpy arrays alike.

I inputs (rows), O outputs, R array rows = C columns, w weight bits, a activation bits, c cell bits, d DAC bits.
"""

from typing import Any

import numpy

Numbers = Any
"""An int or a numpy integer array; arrays broadcast."""


def ceil_divide(numerator: Numbers, denominator: Numbers) -> Numbers:
    """⌈numerator / denominator⌉ in integers."""
    return -(-numerator // denominator)


def slices(weight_bits: Numbers, cell_bits: Numbers, differential: Numbers) -> Numbers:
    """S = ⌈w′/c⌉, w′ = w − 1 for a differential pair (the sign is which of the two arrays), w for offset coding.

    >>> int(slices(8, 2, True)), int(slices(8, 2, False)), int(slices(4, 4, True))
    (4, 4, 1)
    """
    return ceil_divide(weight_bits - numpy.where(differential, 1, 0), cell_bits)


def input_cycles(activation_bits: Numbers, dac_bits: Numbers) -> Numbers:
    """B = ⌈a/d⌉: an input vector is shown to the array d bits at a time."""
    return ceil_divide(activation_bits, dac_bits)


def row_blocks(inputs: Numbers, array_rows: Numbers) -> Numbers:
    """K = ⌈I/R⌉."""
    return ceil_divide(inputs, array_rows)


def column_blocks(outputs: Numbers, slice_count: Numbers, array_rows: Numbers) -> Numbers:
    """M = ⌈O·S/C⌉ (arrays are square, C = R)."""
    return ceil_divide(outputs * slice_count, array_rows)


def lossless_adc_bits(rows: Numbers, cell_bits: Numbers, dac_bits: Numbers, flip_encoding: Numbers = False) -> Numbers:
    """b* = ⌈log2(R(2^c−1)(2^d−1)+1)⌉: an ADC of these bits represents every column sum; flip encoding saves one.

    >>> [int(lossless_adc_bits(*chip)) for chip in [(128, 2, 1), (128, 2, 2), (256, 2, 1), (64, 1, 1)]]
    [9, 11, 10, 7]
    """
    largest = rows * (2**cell_bits - 1) * (2**dac_bits - 1)
    return sum_bits(largest) - numpy.where(flip_encoding, 1, 0)


def sum_bits(largest: Numbers) -> Numbers:
    """Bits of a whole number of at least 1.

    >>> sum_bits(numpy.array([1, 127, 128])).tolist()
    [1, 7, 8]
    """
    # Read from the exponent of a float64: exact, where a rounded log2 could be off by
    # one at a power of two, and faster than frexp. The exponent's bias is 1023, and 1 has one bit.
    return (numpy.asarray(largest, dtype=numpy.float64).view(numpy.int64) >> 52) - 1022
