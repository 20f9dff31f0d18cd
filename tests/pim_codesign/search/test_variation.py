"""Crossover, mutation and repair of genomes."""

import numpy

from modules.space import NASREC_FULL, InputShape, single_operator_any_connection
from pim_codesign import PRESETS, workload_of_subnet
from pim_codesign.search.genome import Genome
from pim_codesign.search.variation import GenomeMutation, GenomeRepair, OperatorCrossover

ARCHITECTURE = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(3))
WORKLOAD = workload_of_subnet(ARCHITECTURE, InputShape(13, 26, 16))


def test_crossover_keeps_an_operators_genes_together() -> None:
    """A child has each operator's bits and replication from one parent, and the two children share out both parents."""
    genome = Genome(WORKLOAD, PRESETS["isaac32"])
    generator = numpy.random.default_rng(2)
    parents = genome.random(40, generator).reshape(2, 20, -1)
    children = OperatorCrossover(genome)._do(None, parents, random_state=generator)
    n = genome.operators
    from_first, from_second = (children[0] == parent for parent in parents)
    for operator in range(n):
        genes = [operator, n + operator, 2 * n + operator]
        assert (from_first[:, genes].all(axis=1) | from_second[:, genes].all(axis=1)).all()
    assert numpy.array_equal(numpy.sort(children, axis=0), numpy.sort(parents, axis=0))


def test_mutation_stays_in_range_and_changes_something() -> None:
    """Mutants are codings, most differ from their parents, and the parents are left as they were."""
    genome = Genome(WORKLOAD, PRESETS["isaac32"])
    generator = numpy.random.default_rng(4)
    points = genome.random(200, generator)
    before = points.copy()
    mutants = GenomeMutation(genome)._do(None, points, random_state=generator)
    assert numpy.array_equal(points, before)
    assert (mutants >= 0).all() and (mutants < genome.options).all()
    assert (mutants != points).any(axis=1).mean() > 0.9


def test_repair_moves_to_the_nearest_allowed_bits() -> None:
    """With a list of measured bits every point has one of them, and one that has keeps it."""
    genome = Genome(WORKLOAD, PRESETS["isaac32"])
    points = genome.random(50, numpy.random.default_rng(5))
    allowed = genome.bits(points[:4])
    repaired = GenomeRepair(genome, allowed)._do(None, points)
    assert {tuple(row) for row in genome.bits(repaired).tolist()} == {tuple(row) for row in allowed.tolist()}
    assert numpy.array_equal(repaired[:4], points[:4])
