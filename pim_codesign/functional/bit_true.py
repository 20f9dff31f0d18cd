"""A matrix on crossbars, bit by bit: slices, serial inputs, row blocks, converters, and imperfect cells.

N samples, I inputs, O outputs, S slices, R rows of an array. Integers are held in float64, so that imperfect cells need
no second form. It costs B·S·π times a plain product: for checking and for a few final designs, not for the inner loop
of the search.
"""

from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from pim_codesign.checks import integer_matrix, number, whole
from pim_codesign.devices import NOTHING_STUCK, StuckAt, ir_drop_gain
from pim_codesign.hardware import Hardware
from pim_codesign.mapping.slicing import input_cycles, slices

Floats = NDArray[numpy.float64]
Integers = NDArray[numpy.int64]


@dataclass(frozen=True)
class Imperfections:
    """Deviations of the cells and wires from ideal ones; the defaults are ideal."""

    log_normal_sigma: float = 0.0
    """σ of the logarithm of a programmed level over its target, at least 0."""
    stuck_at: StuckAt = NOTHING_STUCK
    """Shares of cells stuck at the lowest and the highest level."""
    wire_ohm: float = 0.0
    """Resistance of the wire between two cells, Ω; 0 for no IR drop."""
    on_ohm: float = 100e3
    """Resistance of a cell at its highest level, Ω."""

    def __post_init__(self) -> None:
        number("Imperfections.log_normal_sigma", self.log_normal_sigma, least=0)
        number("Imperfections.wire_ohm", self.wire_ohm, least=0)
        number("Imperfections.on_ohm", self.on_ohm, above=0)
        if not isinstance(self.stuck_at, StuckAt):
            raise ValueError(f"Imperfections.stuck_at is {self.stuck_at!r}; give a StuckAt")

    def programmed(self, targets: Floats, highest: int, generator: numpy.random.Generator) -> Floats:
        """The levels that the cells hold after `targets` were written."""
        levels = targets * generator.lognormal(sigma=self.log_normal_sigma, size=targets.shape)
        fate = generator.random(targets.shape)
        levels[fate < self.stuck_at.low] = 0
        levels[fate >= 1 - self.stuck_at.high] = highest
        return levels


CHUNK_COLUMNS = 256
"""Columns that are read at once, of all slices together."""
CHUNK_INPUTS = 128
"""Inputs that are read at once: the column sums are 256 KB of float64, which stay in a core's cache for the steps on
them, and the product is still large enough to run at its speed."""


@dataclass(frozen=True)
class _Block:
    """Columns of the arrays that hold one block of rows: the levels of their cells, and how each is converted.

    They are all S slices of some of the outputs, slice by slice: column s·o + n of the n-th of o outputs.
    """

    rows: slice
    outputs: slice
    levels: Floats
    """A cell's level; of a differential pair the positive cell's minus the negative one's. [rows, S·o]"""
    lowest: Floats
    """Smallest sum the column's converter can represent. [S·o]"""
    weight: Floats
    """What a column's sum counts: 2^(c·s), negative where the column is stored complemented. [S·o]"""
    complement: Floats
    """What each unit of the inputs' sum adds for the columns stored complemented. [o]"""
    whole: bool
    """Whether all levels are whole numbers, so that rounding a sum changes nothing."""
    clips: bool
    """Whether some input could make a sum that a column's converter cannot represent."""

    def add_to(self, result: Floats, digits: Floats, place: float, adc_bits: int | None, sums: Floats) -> None:
        """Add `place` times the product of input digits [N, I] to [N, O], through converters of `adc_bits`: LSB 1,
        clipped. `sums` [N, S·o] is written over."""
        shown = digits[:, self.rows]
        numpy.matmul(shown, self.levels, out=sums)
        if adc_bits is not None:
            if not self.whole:
                numpy.rint(sums, out=sums)
            if self.clips:
                numpy.maximum(sums, self.lowest, out=sums)
                numpy.minimum(sums, self.lowest + (2**adc_bits - 1), out=sums)
        sums *= self.weight * place
        own = result[:, self.outputs]
        slices_of = sums.reshape(len(sums), -1, own.shape[1])  # [N, S, o]
        for index in range(slices_of.shape[1]):
            own += slices_of[:, index]
        if self.complement.any():
            own += place * shown.sum(axis=1, keepdims=True) * self.complement


class Crossbars:
    """A programmed matrix on crossbars; called with integer inputs, it returns what the chip computes."""

    def __init__(
        self,
        weights: Integers,
        weight_bits: int,
        hardware: Hardware,
        imperfections: Imperfections = Imperfections(),
        generator: numpy.random.Generator | None = None,
    ) -> None:
        """`weights` [O, I] with |weight| < 2^(w−1); imperfect cells are drawn from the generator.

        Raises ValueError for weights that are no matrix of integers or do not fit, for bits that are not 2 to 16, and
        for imperfections without a generator.
        """
        whole("weight_bits", weight_bits, 2, 16)
        weights = integer_matrix("weights", weights, "[O, I]")
        if not isinstance(hardware, Hardware):
            raise ValueError(f"the chip is {hardware!r}; give a Hardware, for example PRESETS['isaac32']")
        if numpy.abs(weights).max(initial=0) >= 2 ** (weight_bits - 1):
            raise ValueError(f"weights up to {numpy.abs(weights).max()} do not fit {weight_bits} bits with a sign")
        if imperfections != Imperfections() and generator is None:
            raise ValueError("imperfect cells are drawn at random: give a generator")
        self.hardware, self.imperfections, self.generator = hardware, imperfections, generator
        differential = hardware.sign_coding == "differential"
        self.offset = 0 if differential else 2 ** (weight_bits - 1)
        self.inputs = weights.shape[1]
        self.weight_sums = weights.sum(axis=1)  # [O]
        stored = [numpy.maximum(weights, 0), numpy.maximum(-weights, 0)] if differential else [weights + self.offset]
        places = hardware.cell_bits * numpy.arange(int(slices(weight_bits, hardware.cell_bits, differential)))
        cells = [array.T >> places[:, None, None] & 2**hardware.cell_bits - 1 for array in stored]  # each [S, I, O]
        starts = range(0, weights.shape[1], hardware.array_rows)
        self.slice_weights = 2.0**places
        blocks = (self._program(cells, slice(start, start + hardware.array_rows)) for start in starts)
        self.blocks = [block for some in blocks for block in some]

    def __call__(self, inputs: Integers, activation_bits: int, signed: bool = True, converters: bool = True) -> Floats:
        """Product of integers [N, I] with the matrix: [N, O]; exact with ideal cells and lossless converters.

        Inputs lie in −2^(a−1) … 2^(a−1)−1, or 0 … 2^a−1 unsigned. Signed ones are applied shifted by 2^(a−1), and
        what the shift adds is subtracted digitally. Without `converters` the analog sums are used as they are. Raises
        ValueError for inputs that are no matrix of integers with I columns or do not fit, and for bits that are not 1
        to 16.
        """
        whole("activation_bits", activation_bits, 1, 16)
        inputs = integer_matrix("inputs", inputs, "[N, I]", columns=self.inputs)
        shift = 2 ** (activation_bits - 1) if signed else 0
        shown = inputs + shift
        if shown.min(initial=0) < 0 or shown.max(initial=0) >= 2**activation_bits:
            raise ValueError(f"inputs from {inputs.min()} to {inputs.max()} do not fit {activation_bits} bits")
        adc_bits = self.hardware.adc_bits if converters else None
        result = numpy.zeros((len(inputs), len(self.weight_sums)))
        for start in range(0, len(inputs), CHUNK_INPUTS):
            some = slice(start, start + CHUNK_INPUTS)
            self._add_products(result[some], shown[some], activation_bits, adc_bits)
        result -= self.offset * shown.sum(axis=1, keepdims=True)  # undo the coding of the weights
        return result - shift * self.weight_sums  # undo the coding of the inputs

    def _add_products(self, result: Floats, shown: Integers, activation_bits: int, adc_bits: int | None) -> None:
        """The products of a few inputs [n, I], cycle by cycle and block by block, added to [n, O]."""
        dac_bits = self.hardware.dac_bits
        sums = {block.levels.shape[1]: numpy.empty((len(shown), block.levels.shape[1])) for block in self.blocks}
        for cycle in range(int(input_cycles(activation_bits, dac_bits))):
            digits = (shown >> cycle * dac_bits & 2**dac_bits - 1).astype(numpy.float64)
            for block in self.blocks:
                block.add_to(result, digits, 2.0 ** (cycle * dac_bits), adc_bits, sums[block.levels.shape[1]])

    def _program(self, cells: list[Integers], rows: slice) -> list[_Block]:
        """Write one block of rows: the targets, complemented where that is better, as imperfect cells hold them."""
        hardware, highest = self.hardware, 2**self.hardware.cell_bits - 1
        targets = [array[:, rows].astype(numpy.float64) for array in cells]
        sums = [array.sum(axis=1) * (2**hardware.dac_bits - 1) for array in targets]  # largest column sums, [S, O]
        flipped = numpy.zeros(sums[0].shape, dtype=bool)
        lowest = numpy.zeros_like(sums[0])
        if len(cells) == 2:
            # A column's sum lies in −Σn … Σp. The converter's window covers that, or lies around zero if too narrow.
            codes = 2**hardware.adc_bits
            lowest = numpy.maximum(-sums[1], numpy.minimum(-codes / 2, sums[0] - codes + 1))
        elif hardware.flip_encoding:
            flipped = targets[0].sum(axis=1) * 2 > highest * targets[0].shape[1]
            targets[0] = numpy.where(flipped[:, None], highest - targets[0], targets[0])
        if self.generator is not None:
            targets = [self.imperfections.programmed(array, highest, self.generator) for array in targets]
        levels = targets[0] - targets[1] if len(targets) == 2 else targets[0]
        gain = ir_drop_gain(hardware.array_rows, self.imperfections.wire_ohm, self.imperfections.on_ohm)
        levels *= gain
        weight = numpy.where(flipped, -1.0, 1.0) * self.slice_weights[:, None]  # [S, O]
        complement = highest * (flipped * self.slice_weights[:, None]).sum(axis=0)  # [O]
        width = max(1, CHUNK_COLUMNS // len(levels))
        found = []
        for start in range(0, levels.shape[2], width):
            some = slice(start, start + width)
            own = levels[:, :, some].transpose(1, 0, 2).reshape(levels.shape[1], -1)  # [rows, S·o]
            lows, weights = lowest[:, some].ravel(), weight[:, some].ravel()
            whole = bool((own == numpy.rint(own)).all())
            largest_input, codes = 2**hardware.dac_bits - 1, 2**hardware.adc_bits
            most, least = (numpy.maximum(sign * own, 0).sum(axis=0) * largest_input for sign in (1, -1))
            clips = bool((most > lows + (codes - 1)).any() or (-least < lows).any())
            found.append(_Block(rows, some, own, lows, weights, complement[some], whole, clips))
        return found
