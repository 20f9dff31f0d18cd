"""The genome: every coding is a possible point and every point is coded."""

import numpy
import pytest

from modules.space import NASREC_FULL, InputShape, single_operator_any_connection
from pim_codesign import PRESETS, Mapping, evaluate, workload_of_subnet
from pim_codesign.cost.model import evaluate_columns
from pim_codesign.mapping.mapping import max_dup
from pim_codesign.search.genome import Genome
from pim_codesign.search.variation import GenomeMutation, GenomeRepair, OperatorCrossover

ARCHITECTURE = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(3))
WORKLOAD = workload_of_subnet(ARCHITECTURE, InputShape(13, 26, 16))


@pytest.mark.parametrize("preset", list(PRESETS))
def test_random_genomes_are_possible_lossless_chips(preset: str) -> None:
    """Repair gives chips that exist and never clip, and is idempotent; replication keeps to V."""
    genome = Genome(WORKLOAD, PRESETS[preset])
    points = genome.random(300, numpy.random.default_rng(0))
    assert (points >= 0).all() and (points < genome.options).all()
    assert numpy.array_equal(genome.repair(points), points)
    assert all(chip.adc_bits >= chip.lossless_adc_bits for chip in genome.chips(points))
    for point in points[:20]:
        mapping, _ = genome.decode(point)
        limits = [max_dup(vectors) for vectors in WORKLOAD.vectors.values()]
        assert all(o.dup <= limit for o, limit in zip(mapping.operators, limits, strict=True))


@pytest.mark.parametrize("preset", list(PRESETS))
def test_the_naive_genome_is_the_naive_point(preset: str) -> None:
    """It decodes to W8A8 without replication on the preset's own chip."""
    genome = Genome(WORKLOAD, PRESETS[preset])
    assert genome.decode(genome.naive()) == (Mapping.uniform(WORKLOAD), PRESETS[preset])


def test_columns_and_values_cost_the_same() -> None:
    """The fast path of the search and `evaluate` on the decoded point agree exactly."""
    genome = Genome(WORKLOAD, PRESETS["isaac32"])
    points = genome.random(30, numpy.random.default_rng(1))
    table = evaluate_columns(WORKLOAD, *genome.columns(points))
    for index, point in enumerate(points):
        mapping, hardware = genome.decode(point)
        cost = evaluate(WORKLOAD, hardware, mapping)
        assert cost.energy_nj == pytest.approx(table.energy_nj[index])
        assert cost.area_mm2 == pytest.approx(table.area_mm2[index])
        assert cost.latency_us == pytest.approx(table.latency_us[index])


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
