"""Crossbars bit by bit: targets V12, V13 and V15, and that "lossless" is what it says."""

import dataclasses
import itertools
from typing import Literal

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pim_codesign import Hardware
from pim_codesign.devices import StuckAt
from pim_codesign.functional.bit_true import Crossbars, Imperfections

V13_CHIP = Hardware(sign_coding="differential", flip_encoding=False, adc_bits=9)


def chip(generator: numpy.random.Generator) -> Hardware:
    """Any array with converters of any width."""
    coding = generator.choice(["differential", "offset"])
    return Hardware(
        array_rows=int(generator.choice([64, 128])),
        cell_bits=int(generator.choice([1, 2, 4])),
        dac_bits=int(generator.choice([1, 2, 4])),
        columns_per_adc=64,
        sign_coding=coding,
        flip_encoding=coding == "offset" and bool(generator.integers(2)),
        adc_bits=10,
    )


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 8), st.integers(2, 8), st.booleans())
def test_v12_ideal_crossbars_are_the_integer_product(seed: int, w: int, a: int, signed: bool) -> None:
    """V12: ideal devices without converters give the integer GEMM exactly, for any chip, bits and block count."""
    generator = numpy.random.default_rng(seed)
    weights = generator.integers(-(2 ** (w - 1)) + 1, 2 ** (w - 1), size=(5, int(generator.integers(1, 300))))
    low, high = (-(2 ** (a - 1)), 2 ** (a - 1)) if signed else (0, 2**a)
    inputs = generator.integers(low, high, size=(3, weights.shape[1]))
    found = Crossbars(weights, w, chip(generator))(inputs, a, signed=signed, converters=False)
    assert numpy.array_equal(found, inputs @ weights.T)


def lossless_chips() -> list[Hardware]:
    """Every array whose lossless converters exist (4 to 10 bits), with exactly those."""
    chips = []
    for rows, cell_bits, dac_bits, coding in itertools.product((64, 128), (1, 2, 4), (1, 2, 4), CODINGS):
        own = Hardware(
            array_rows=rows,
            cell_bits=cell_bits,
            dac_bits=dac_bits,
            columns_per_adc=64,
            sign_coding=coding[0],
            flip_encoding=coding[1],
            adc_bits=10,
        )
        if 4 <= own.lossless_adc_bits <= 10:
            chips.append(dataclasses.replace(own, adc_bits=own.lossless_adc_bits))
    return chips


CODINGS: tuple[tuple[Literal["differential", "offset"], bool], ...] = (
    ("differential", False),
    ("offset", False),
    ("offset", True),
)


def test_most_arrays_have_lossless_converters() -> None:
    """What the next test draws from: all codings and sizes are among them."""
    chips = lossless_chips()
    assert {(own.sign_coding, own.flip_encoding) for own in chips} == set(CODINGS)
    assert {own.array_rows for own in chips} == {64, 128} and len(chips) >= 20


@settings(max_examples=100)
@given(st.integers(0, 10_000), st.sampled_from(lossless_chips()), st.booleans())
def test_lossless_converters_lose_nothing(seed: int, hardware: Hardware, extreme: bool) -> None:
    """With `lossless_adc_bits` the product is exact even for all weights and inputs at their largest; so the search,
    which gives chips those bits, may measure accuracy by quantization alone."""
    generator = numpy.random.default_rng(seed)
    shape = (6, int(generator.integers(1, 200)))
    weights = generator.choice([-127, 127], size=(6, 1)) * numpy.ones(shape, int) if extreme else None
    weights = generator.integers(-127, 128, size=shape) if weights is None else weights
    inputs = numpy.full((2, shape[1]), 255) if extreme else generator.integers(0, 256, size=(2, shape[1]))
    found = Crossbars(weights, 8, hardware)(inputs, 8, signed=False)
    assert numpy.array_equal(found, inputs @ weights.T)


def _v13_layer() -> tuple[numpy.ndarray, numpy.ndarray, float, float]:
    """512 × 512 weights of N(0, .03), one scale for all; inputs uniform in [0, 1), 8 bits without a sign."""
    generator = numpy.random.default_rng(0)
    weights, inputs = generator.normal(0, 0.03, (512, 512)), generator.uniform(0, 1, (32, 512))
    return weights, inputs, numpy.abs(weights).max() / 127, inputs.max() / 255


def _relative_error(found: numpy.ndarray, expected: numpy.ndarray) -> float:
    return float(numpy.linalg.norm(found - expected) / numpy.linalg.norm(expected))


@pytest.mark.parametrize(
    ("adc_bits", "low", "high", "tolerance"),
    [
        (9, 0.011, 0.011, 0.003),
        (8, 0.011, 0.011, 0.003),
        (7, 0.011, 0.011, 0.003),
        (6, 0.022, 0.025, 0.003),
        (5, 0.18, 0.20, 0.03),
    ],
)
@pytest.mark.slow
def test_v13_narrow_converters(adc_bits: int, low: float, high: float, tolerance: float) -> None:
    """V13: error relative to float with LSB 1 and clipping: .0110 at 9 to 7 bits, .022–.025 at 6, .18–.20 at 5."""
    weights, inputs, weight_step, input_step = _v13_layer()
    crossbars = Crossbars(
        numpy.rint(weights / weight_step).astype(int), 8, dataclasses.replace(V13_CHIP, adc_bits=adc_bits)
    )
    found = crossbars(numpy.rint(inputs / input_step).astype(int), 8, signed=False) * weight_step * input_step
    assert low - tolerance <= _relative_error(found, inputs @ weights.T) <= high + tolerance


@pytest.mark.slow
def test_v15_log_normal_cells() -> None:
    """V15: σ = .1 gives a relative error of about .088 within 10 %, and the error is linear in σ up to .1."""
    weights, inputs, weight_step, input_step = _v13_layer()
    integers, shown = numpy.rint(weights / weight_step).astype(int), numpy.rint(inputs / input_step).astype(int)
    errors = {}
    for sigma in (0.025, 0.05, 0.1):
        crossbars = Crossbars(integers, 8, V13_CHIP, Imperfections(sigma), numpy.random.default_rng(1))
        errors[sigma] = _relative_error(crossbars(shown, 8, signed=False, converters=False), shown @ integers.T)
    assert errors[0.1] == pytest.approx(0.088, rel=0.1)
    assert errors[0.05] / errors[0.1] == pytest.approx(0.5, rel=0.05)
    assert errors[0.025] / errors[0.1] == pytest.approx(0.25, rel=0.05)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(lossless_chips()))
def test_no_noise_is_ideal(seed: int, hardware: Hardware) -> None:
    """Imperfections of size zero, drawn from a generator, give the integer product through lossless converters."""
    generator = numpy.random.default_rng(seed)
    weights, inputs = generator.integers(-127, 128, size=(5, 150)), generator.integers(-128, 128, size=(4, 150))
    nothing = Imperfections(0.0, StuckAt(0.0, 0.0), wire_ohm=0.0)
    assert numpy.array_equal(Crossbars(weights, 8, hardware, nothing, generator)(inputs, 8), inputs @ weights.T)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_error_grows_with_noise_rows_and_fewer_converter_bits(seed: int) -> None:
    """The error of a layer rises with the cells' spread, with stuck cells, with the rows that wires run past, and with
    each bit that converters lack."""
    generator = numpy.random.default_rng(seed)
    weights, inputs = generator.integers(-127, 128, size=(40, 256)), generator.integers(0, 256, size=(8, 256))

    def error(hardware: Hardware, imperfections: Imperfections, converters: bool = False) -> float:
        crossbars = Crossbars(weights, 8, hardware, imperfections, numpy.random.default_rng(seed))
        return _relative_error(crossbars(inputs, 8, signed=False, converters=converters), inputs @ weights.T)

    chips = [dataclasses.replace(V13_CHIP, array_rows=rows, columns_per_adc=64) for rows in (64, 128, 256)]
    families = [
        [error(V13_CHIP, Imperfections(sigma)) for sigma in (0.0, 0.05, 0.15)],
        [error(V13_CHIP, Imperfections(stuck_at=StuckAt(share, share))) for share in (0.0, 0.005, 0.05)],
        [error(chip, Imperfections(wire_ohm=1.0, on_ohm=20e3)) for chip in chips],
        [error(dataclasses.replace(V13_CHIP, adc_bits=bits), Imperfections(), True) for bits in (9, 5, 4)],
    ]
    for errors in families:
        assert errors == sorted(errors) and errors[0] < errors[-1]


def test_stuck_cells_and_wires() -> None:
    """All cells stuck low give nothing; IR drop scales the analog product by its gain."""
    generator = numpy.random.default_rng(0)
    weights, inputs = generator.integers(-7, 8, size=(4, 100)), generator.integers(0, 16, size=(5, 100))
    stuck = Crossbars(weights, 4, V13_CHIP, Imperfections(stuck_at=StuckAt(1.0, 0.0)), generator)
    assert not stuck(inputs, 4, signed=False).any()
    wired = Crossbars(weights, 4, V13_CHIP, Imperfections(wire_ohm=1.0, on_ohm=10e3), generator)
    gain = 1 / (1 + 0.096 * 128**2 / 10e3)
    assert wired(inputs, 4, signed=False, converters=False) == pytest.approx(inputs @ weights.T * gain)


def test_what_does_not_fit_is_refused() -> None:
    """Weights and inputs beyond their bits, and random cells without a generator."""
    with pytest.raises(ValueError, match="do not fit 4 bits"):
        Crossbars(numpy.array([[8]]), 4, V13_CHIP)
    with pytest.raises(ValueError, match="generator"):
        Crossbars(numpy.array([[1]]), 4, V13_CHIP, Imperfections(0.1))
    with pytest.raises(ValueError, match="inputs from 16 to 16"):
        Crossbars(numpy.array([[1]]), 4, V13_CHIP)(numpy.array([[16]]), 4, signed=False)
