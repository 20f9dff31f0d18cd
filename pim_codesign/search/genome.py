"""A point of the search as integers: for each operator its bits and replication, then the chip's options.

P points, n operators. A row is [weight-bit index] · n, [activation-bit index] · n, [log2 dup] · n, chip genes.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy
from numpy.typing import NDArray

from pim_codesign.circuits import ADC_BITS
from pim_codesign.cost.columns import HardwareColumns, MappingColumns
from pim_codesign.hardware import (
    ARRAY_ROWS,
    CELL_BITS,
    COLUMNS_PER_ADC,
    DAC_BITS,
    DIGITAL_LANES,
    INTERACTION_ENGINES,
    SIGN_CODINGS,
    Hardware,
)
from pim_codesign.mapping.mapping import ACTIVATION_BITS, WEIGHT_BITS, Mapping, OperatorMapping, max_dup
from pim_codesign.mapping.workload import Workload

Genomes = NDArray[numpy.int64]

CHIP_GENES: dict[str, tuple[int | str | bool, ...]] = {
    "array_rows": ARRAY_ROWS,
    "cell_bits": CELL_BITS,
    "dac_bits": DAC_BITS,
    "columns_per_adc": COLUMNS_PER_ADC,
    "sign_coding": SIGN_CODINGS,
    "digital_lanes": DIGITAL_LANES,
    "interaction_engine": INTERACTION_ENGINES,
    "adc_per_operator": (False, True),
}
"""The chip's searched options. Converter bits are not among them: they follow, as few as convert without loss, because
the log losses are those of exact sums."""
_NAMES = tuple(CHIP_GENES)


@dataclass(frozen=True)
class Genome:
    """Coding of the points of one workload on chips derived from one."""

    workload: Workload
    base: Hardware
    """Its preset, node and place of the embeddings are kept, and its flip encoding with offset coding."""

    @cached_property
    def operators(self) -> int:
        """n"""
        return len(self.workload.operators)

    @cached_property
    def options(self) -> Genomes:
        """How many values each gene has."""
        n = self.operators
        dups = [max_dup(vectors).bit_length() for vectors in self.workload.vectors.values()]
        chip = [len(values) for values in CHIP_GENES.values()]
        return numpy.array([len(WEIGHT_BITS)] * n + [len(ACTIVATION_BITS)] * n + dups + chip, dtype=numpy.int64)

    def bits(self, genomes: Genomes) -> Genomes:
        """Weight then activation bits of each operator. [P, 2n]"""
        n = self.operators
        weight = numpy.array(WEIGHT_BITS)[genomes[:, :n]]
        return numpy.hstack([weight, numpy.array(ACTIVATION_BITS)[genomes[:, n : 2 * n]]])

    def set_bits(self, genomes: Genomes, bits: Genomes) -> Genomes:
        """The genomes with other bits [P, 2n]."""
        n = self.operators
        result = genomes.copy()
        result[:, :n] = numpy.searchsorted(WEIGHT_BITS, bits[:, :n])
        result[:, n : 2 * n] = numpy.searchsorted(ACTIVATION_BITS, bits[:, n:])
        return result

    def chips(self, genomes: Genomes) -> list[Hardware]:
        """The chip of each; genomes must be repaired."""
        return [_chip(self.base, tuple(genes))[1] for genes in genomes[:, -len(CHIP_GENES) :].tolist()]

    def repair(self, genomes: Genomes) -> Genomes:
        """Make chips possible: columns that share a converter fit the array, lossless converters exist."""
        result = genomes.copy()
        count = len(CHIP_GENES)
        result[:, -count:] = [_chip(self.base, tuple(genes))[0] for genes in genomes[:, -count:].tolist()]
        return result

    def columns(self, genomes: Genomes) -> tuple[MappingColumns, HardwareColumns]:
        """The points as `evaluate_columns` takes them."""
        n, bits = self.operators, self.bits(genomes)
        dup = 2 ** genomes[:, 2 * n : 3 * n]
        mapping = MappingColumns.of_arrays(self.workload, bits[:, :n], bits[:, n:], dup)
        return mapping, HardwareColumns.of(self.chips(genomes))

    def decode(self, genome: Genomes) -> tuple[Mapping, Hardware]:
        """One point [G] as values."""
        n, row = self.operators, genome[None]
        bits, dup = self.bits(row)[0], 2 ** genome[2 * n : 3 * n]
        numbers = zip(bits[:n].tolist(), bits[n:].tolist(), dup.tolist(), strict=True)
        return Mapping(tuple(OperatorMapping(*number) for number in numbers)), self.chips(row)[0]

    def naive(self) -> Genomes:
        """W8A8, no replication, the base chip. [G]"""
        n = self.operators
        chip = [CHIP_GENES[name].index(getattr(self.base, name)) for name in _NAMES]
        eight = [WEIGHT_BITS.index(8)] * n + [ACTIVATION_BITS.index(8)] * n
        return numpy.array(eight + [0] * n + chip, dtype=numpy.int64)

    def random(self, points: int, generator: numpy.random.Generator) -> Genomes:
        """Uniform points, repaired. [P, G]"""
        return self.repair(generator.integers(0, self.options, size=(points, len(self.options))))


@lru_cache(maxsize=8192)
def _chip(base: Hardware, genes: tuple[int, ...]) -> tuple[tuple[int, ...], Hardware]:
    """The nearest possible chip's genes, and that chip with the fewest lossless converter bits."""
    index = dict(zip(_NAMES, genes, strict=True))
    widest = base.technology.adc.max_bits
    while True:
        options = {name: CHIP_GENES[name][index[name]] for name in _NAMES}
        if options["columns_per_adc"] > options["array_rows"]:  # type: ignore[operator]
            index["columns_per_adc"] -= 1
            continue
        flip = base.flip_encoding and options["sign_coding"] == "offset"
        chip = dataclasses.replace(base, adc_bits=ADC_BITS[0], flip_encoding=flip, **options)  # type: ignore[arg-type]
        if chip.lossless_adc_bits <= widest:
            chip = dataclasses.replace(chip, adc_bits=max(ADC_BITS[0], chip.lossless_adc_bits))
            return tuple(index[name] for name in _NAMES), chip
        # too many bits: first simpler inputs, then simpler cells, then fewer rows
        name = next(name for name in ("dac_bits", "cell_bits", "array_rows") if index[name] > 0)
        index[name] -= 1
