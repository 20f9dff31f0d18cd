"""The configuration of a search, and that an option which is set is fixed and never ignored."""

import dataclasses
from typing import Any

import numpy
import pytest
import tyro
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modules.space import NASREC_SMALL, InputShape, single_operator_any_connection
from pim_codesign import PRESETS, CodesignConfig, Hardware, workload_of_subnet
from pim_codesign.options import options_of
from pim_codesign.search.genome import Genome
from pim_codesign.search.search import search

WORKLOAD = workload_of_subnet(
    single_operator_any_connection(NASREC_SMALL, numpy.random.default_rng(0)), InputShape(13, 26, 16)
)
SEARCHED = {name for name, one in options_of(Hardware).items() if one.searched}


def test_without_options_the_base_chip_is_the_presets_and_all_is_searched() -> None:
    """By default the preset's own chip, its embeddings in DRAM, and every searched option a gene."""
    for name, chip in PRESETS.items():
        config = CodesignConfig(preset=name, embeddings="in_crossbar")
        assert config.hardware == dataclasses.replace(chip, embeddings="in_crossbar")
        assert set(Genome(WORKLOAD, config.hardware, config.fixed).chip_genes) == SEARCHED


@pytest.mark.parametrize("name", list(options_of(Hardware)))
def test_an_option_on_the_command_line_is_fixed(name: str) -> None:
    """`--NAME VALUE` is the base chip's and every searched chip's; only that option leaves the genes."""
    tried = 0
    for choice in options_of(Hardware)[name].choices:
        try:
            config = tyro.cli(CodesignConfig, args=[f"--{name.replace('_', '-')}", str(choice)])
        except SystemExit:  # no chip converts without loss in so few bits
            assert (name, choice) in {("adc_bits", 4), ("adc_bits", 5)}
            continue
        genome = Genome(WORKLOAD, config.hardware, config.fixed)
        assert getattr(config.hardware, name) == choice
        chips = genome.chips(genome.random(40, numpy.random.default_rng(1)))
        assert {getattr(chip, name) for chip in chips} == {choice}
        assert SEARCHED - set(genome.chip_genes) == SEARCHED & {name}
        tried += 1
    assert tried >= 2


@settings(max_examples=80, deadline=None)
@given(st.data())
@pytest.mark.slow
def test_any_options_leave_only_possible_chips(data: st.DataObject) -> None:
    """Whatever is fixed, every genome is repaired to a chip that has it and converts without loss; repairing it again
    changes nothing, and the naive genome is the base chip."""
    choices = {name: st.sampled_from(one.choices) for name, one in options_of(Hardware).items()}
    options: dict[str, Any] = data.draw(st.fixed_dictionaries({}, optional=choices))
    try:
        config = CodesignConfig(**options)
    except ValueError:
        assume(False)
    genome = Genome(WORKLOAD, config.hardware, config.fixed)
    points = genome.random(40, numpy.random.default_rng(data.draw(st.integers(0, 99))))
    assert numpy.array_equal(genome.repair(points), points)
    for chip in genome.chips(points):
        assert chip.lossless_adc_bits <= chip.adc_bits
        assert all(getattr(chip, name) == value for name, value in options.items())
    assert genome.decode(genome.naive())[1] == config.hardware


def test_a_search_keeps_what_is_set() -> None:
    """All reported points have the options that were set, and the others vary."""
    options: dict[str, Any] = {"node_nm": 22, "array_rows": 64, "columns_per_adc": 64, "adc_bits": 8}
    config = CodesignConfig(
        population=16, generations=10, rounds=2, log_loss_measurements=8, pareto_points=12, **options
    )
    found = search(WORKLOAD, lambda bits: 0.5 + sum(4.0**-w for w, _ in bits.values()), config, _generator())
    for point in (found.naive, *found.pareto, *found.evaluated):
        assert {name: getattr(point.hardware, name) for name in options} == options
        assert point.cost.lossless
    assert len({point.hardware.digital_lanes for point in found.evaluated}) > 1


def _generator() -> numpy.random.Generator:
    return numpy.random.default_rng(3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("population", 4),
        ("rounds", 0),
        ("generations", 3),
        ("log_loss_measurements", 3),
        ("log_loss_rows", 0),
        ("max_log_loss_increase", -0.1),
        ("pareto_points", 3),
        ("preset", "x"),
        ("node_nm", 28),
        ("log_loss_resolution", 0.0),
        ("adc_bits", 5),
    ],
)
def test_impossible_configurations_are_refused(field: str, value: Any) -> None:
    """A ValueError names the field."""
    options: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=field):
        CodesignConfig(**options)
