"""A point of the search as integers: bits and replication of each operator, then the chip's searched options.

P points, n operators, G genes. A genome is [weight-bit index] · n, [activation-bit index] · n, [log2 dup] · n, chip
genes; a chip gene is the index of the option's choice.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy
from numpy.typing import NDArray

from pim_codesign.cost.columns import HardwareColumns, MappingColumns
from pim_codesign.hardware import Hardware
from pim_codesign.mapping.mapping import ACTIVATION_BITS, WEIGHT_BITS, Mapping, OperatorMapping, max_dup
from pim_codesign.mapping.workload import Workload
from pim_codesign.options import Choice, options_of
from pim_codesign.search.chips import lossless_chip

Genomes = NDArray[numpy.int64]
ChipGenes = tuple[int, ...]


@dataclass
class _Met:
    """Chips that a search has met, as columns."""

    places: dict[ChipGenes, int] = field(default_factory=dict)
    """Where each stands in the columns."""
    columns: HardwareColumns | None = None
    """None before the first."""


@dataclass(frozen=True)
class Genome:
    """Coding of the points of one workload on chips derived from one.

    Converter bits are not a gene: they follow, as few as convert without loss, because the log losses that the search
    measures are those of exact sums.
    """

    workload: Workload
    """The network."""
    base: Hardware
    """The chip of the naive mapping: whatever is not searched is kept, its flip encoding with offset coding."""
    fixed: frozenset[str] = frozenset()
    """Options that keep the base chip's value although they are searched otherwise; with `adc_bits`, its converters."""

    @cached_property
    def operators(self) -> int:
        """n"""
        return len(self.workload.operators)

    @cached_property
    def chip_genes(self) -> dict[str, tuple[Choice, ...]]:
        """Choices of each searched option of the chip, in the order of its fields."""
        options = options_of(type(self.base))
        return {name: one.choices for name, one in options.items() if one.searched and name not in self.fixed}

    @cached_property
    def options(self) -> Genomes:
        """Number of values of each gene. [G]"""
        n = self.operators
        dups = [max_dup(vectors).bit_length() for vectors in self.workload.vectors.values()]
        chip = [len(values) for values in self.chip_genes.values()]
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
        codes, of_point = self._different_chips(genomes)
        found = [self._repaired(code)[1] for code in codes]
        return [found[index] for index in of_point.tolist()]

    def repair(self, genomes: Genomes) -> Genomes:
        """Make chips possible: columns that share a converter fit the array, lossless converters exist."""
        result = genomes.copy()
        if self.chip_genes:
            codes, of_point = self._different_chips(genomes)
            result[:, 3 * self.operators :] = numpy.array([self._repaired(code)[0] for code in codes])[of_point]
        return result

    def columns(self, genomes: Genomes) -> tuple[MappingColumns, HardwareColumns]:
        """The points as `evaluate_columns` takes them."""
        n, genes = self.operators, numpy.ascontiguousarray(genomes[:, : 3 * self.operators].T)  # [3n, P]
        weight, activation = numpy.array(WEIGHT_BITS)[genes[:n]], numpy.array(ACTIVATION_BITS)[genes[n : 2 * n]]
        mapping = MappingColumns.of_arrays(self.workload, weight.T, activation.T, (1 << genes[2 * n :]).T)
        return mapping, self._chip_columns(genomes)

    def _chip_columns(self, genomes: Genomes) -> HardwareColumns:
        """The chips of the points, of which each different one is read once in a search."""
        (codes, of_point), met = self._different_chips(genomes), self._met
        if new := [code for code in codes if code not in met.places]:
            met.places.update({code: place for place, code in enumerate(new, start=len(met.places))})
            chips = [self._repaired(code)[1] for code in new]
            met.columns = HardwareColumns(chips) if met.columns is None else met.columns.extended(chips)
        assert met.columns is not None
        places = numpy.array([met.places[code] for code in codes])
        return met.columns.take(places[of_point])

    def decode(self, genome: Genomes) -> tuple[Mapping, Hardware]:
        """One point [G] as values."""
        n, row = self.operators, genome[None]
        bits, dup = self.bits(row)[0], 2 ** genome[2 * n : 3 * n]
        numbers = zip(bits[:n].tolist(), bits[n:].tolist(), dup.tolist(), strict=True)
        return Mapping(tuple(OperatorMapping(*number) for number in numbers)), self.chips(row)[0]

    def naive(self) -> Genomes:
        """W8A8, no replication, the base chip. [G]"""
        n = self.operators
        chip = [choices.index(getattr(self.base, name)) for name, choices in self.chip_genes.items()]
        eight = [WEIGHT_BITS.index(8)] * n + [ACTIVATION_BITS.index(8)] * n
        return numpy.array(eight + [0] * n + chip, dtype=numpy.int64)

    def random(self, points: int, generator: numpy.random.Generator) -> Genomes:
        """Uniform points, repaired. [P, G]"""
        return self.repair(generator.integers(0, self.options, size=(points, len(self.options))))

    @cached_property
    def _met(self) -> "_Met":
        """The chips that `_chip_columns` was asked for."""
        return _Met()

    def _different_chips(self, genomes: Genomes) -> tuple[list[ChipGenes], Genomes]:
        """The different rows of chip genes, and which of them each point has. [P]"""
        genes = genomes[:, 3 * self.operators :]
        counts = self.options[3 * self.operators :]
        number = genes @ numpy.append(numpy.cumprod(counts[1:][::-1])[::-1], 1) if len(counts) else genes.sum(axis=1)
        _, first, of_point = numpy.unique(number, return_index=True, return_inverse=True)
        return [tuple(row) for row in genes[first].tolist()], of_point

    @cached_property
    def _known(self) -> dict[ChipGenes, tuple[ChipGenes, Hardware]]:
        """What `_repaired` has found: there are some thousand chips, and a search meets each many times."""
        return {}

    def _repaired(self, genes: ChipGenes) -> tuple[ChipGenes, Hardware]:
        """The nearest possible chip's genes, and that chip."""
        if genes not in self._known:
            wanted = {name: choices[gene] for (name, choices), gene in zip(self.chip_genes.items(), genes, strict=True)}
            chip = lossless_chip(self.base, wanted, self.fixed)
            repaired = tuple(choices.index(getattr(chip, name)) for name, choices in self.chip_genes.items())
            self._known[genes] = repaired, chip
        return self._known[genes]
