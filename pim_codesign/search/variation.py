"""NSGA-II on the genome: crossover per operator, mutation by small steps and by sweeps over all operators."""

from typing import Any

import numpy
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair

from pim_codesign.search.genome import Genome, Genomes

MUTATIONS = 3
"""Mean number of genes that a mutation changes beside the one that it always changes."""
NEIGHBOUR = 0.7
"""Probability that a changed gene moves one step rather than anywhere: neighbouring values are similar designs."""
SWEEP = 0.2
"""Probability that a mutation instead gives all operators the same weight bits, activation bits or replication."""


class OperatorCrossover(Crossover):
    """Each child takes every operator's three genes together from one parent, and every chip gene by itself."""

    def __init__(self, genome: Genome) -> None:
        super().__init__(2, 2)
        self.genome = genome

    def _do(self, problem: Problem, X: Genomes, *_: Any, random_state: numpy.random.Generator, **__: Any) -> Genomes:
        n, points = self.genome.operators, X.shape[1]
        by_operator = random_state.random((points, n)) < 0.5
        by_chip_gene = random_state.random((points, X.shape[2] - 3 * n)) < 0.5
        swap = numpy.hstack([by_operator, by_operator, by_operator, by_chip_gene])
        return numpy.stack([numpy.where(swap, X[1], X[0]), numpy.where(swap, X[0], X[1])])


class GenomeMutation(Mutation):
    """A few genes step or jump, or one kind of gene is set to one value for all operators."""

    def __init__(self, genome: Genome) -> None:
        super().__init__()
        self.genome = genome

    def _do(self, problem: Problem, X: Genomes, *_: Any, random_state: numpy.random.Generator, **__: Any) -> Genomes:
        options, n = self.genome.options, self.genome.operators
        result = X.copy()
        for row in result:
            if random_state.random() < SWEEP:
                kind = slice(n * (start := int(random_state.integers(3))), n * (start + 1))
                row[kind] = numpy.minimum(random_state.integers(options[kind].max()), options[kind] - 1)
                continue
            for gene in random_state.integers(len(row), size=1 + random_state.poisson(MUTATIONS)):
                if random_state.random() < NEIGHBOUR:
                    row[gene] = numpy.clip(row[gene] + random_state.choice([-1, 1]), 0, options[gene] - 1)
                else:
                    row[gene] = random_state.integers(options[gene])
        return result


class GenomeRepair(Repair):
    """Makes chips possible and, where only measured bits are allowed, takes the nearest of those."""

    def __init__(self, genome: Genome, allowed_bits: Genomes | None = None) -> None:
        super().__init__()
        self.genome, self.allowed_bits = genome, allowed_bits

    def _do(self, problem: Problem, X: Genomes, **_: Any) -> Genomes:
        result = self.genome.repair(X)
        if self.allowed_bits is not None:
            bits = self.genome.bits(result)
            distance = numpy.abs(bits[:, None] - self.allowed_bits[None]).sum(axis=2)  # [P, N]
            result = self.genome.set_bits(result, self.allowed_bits[distance.argmin(axis=1)])
        return result


def nsga2(genome: Genome, population: int, start: Genomes, allowed_bits: Genomes | None) -> NSGA2:
    """NSGA-II that starts from the points `start`."""
    return NSGA2(
        pop_size=population,
        sampling=start,
        crossover=OperatorCrossover(genome),
        mutation=GenomeMutation(genome),
        repair=GenomeRepair(genome, allowed_bits),
        eliminate_duplicates=True,
    )
