"""The genome: every coding is a possible point and every point is coded."""

import numpy
import pytest

from modules.space import NASREC_FULL, InputShape, single_operator_any_connection
from pim_codesign import PRESETS, Mapping, evaluate, workload_of_subnet
from pim_codesign.cost.model import evaluate_columns
from pim_codesign.hardware import PresetName
from pim_codesign.mapping.mapping import max_dup
from pim_codesign.search.genome import Genome

ARCHITECTURE = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(3))
WORKLOAD = workload_of_subnet(ARCHITECTURE, InputShape(13, 26, 16))


@pytest.mark.parametrize("preset", list(PRESETS))
def test_random_genomes_are_possible_lossless_chips(preset: PresetName) -> None:
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
def test_the_naive_genome_is_the_naive_point(preset: PresetName) -> None:
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
