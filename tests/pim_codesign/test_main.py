"""The command that prints what an architecture costs on a chip."""

import json
from pathlib import Path

import numpy
import pytest
import tyro

from modules.space import NASREC_FULL, NASREC_SMALL, InputShape, single_operator_any_connection
from pim_codesign import PRESETS, evaluate, with_options, workload_of_subnet
from pim_codesign.__main__ import Options, main


def test_it_prints_every_preset_of_the_given_architecture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file's architecture is costed on each preset's chip."""
    architecture = single_operator_any_connection(NASREC_SMALL, numpy.random.default_rng(5))
    path = tmp_path / "architecture.json"
    path.write_text(json.dumps(architecture.to_json()))
    main(Options(architecture=str(path)))
    printed = capsys.readouterr().out
    for name, hardware in PRESETS.items():
        cost = evaluate(workload_of_subnet(architecture, InputShape(13, 26, 16)), hardware)
        assert f"{name}: {cost.latency_us:.2f} µs" in printed


def test_a_chip_option_applies_to_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    """`--hardware.node-nm 22` is costed on each preset's chip at 22 nm; with a preset, on that one alone."""
    architecture = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(0))
    workload = workload_of_subnet(architecture, InputShape(13, 26, 16))
    main(tyro.cli(Options, args=["--hardware.node-nm", "22"]))
    printed = capsys.readouterr().out
    for name, hardware in PRESETS.items():
        cost = evaluate(workload, with_options(hardware, {"node_nm": 22}))
        assert f"{name}: {cost.latency_us:.2f} µs" in printed
        assert f"{cost.energy_nj:,.0f} nJ, {cost.area_mm2:.2f} mm²" in printed
    main(tyro.cli(Options, args=["--hardware.preset", "mnsim"]))
    alone = capsys.readouterr().out
    assert "mnsim:" in alone and "isaac32:" not in alone and "neurosim32:" not in alone


def test_operators_are_printed_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    """With --by-operator a line for each, whose numbers add up to the totals to the digits that are printed."""
    main(tyro.cli(Options, args=["--by-operator", "--hardware.preset", "isaac32"]))
    lines = capsys.readouterr().out.splitlines()
    start = next(index for index, line in enumerate(lines) if line.split()[:1] == ["operator"])
    architecture = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(0))
    workload = workload_of_subnet(architecture, InputShape(13, 26, 16))
    cost, rows = evaluate(workload, PRESETS["isaac32"]), [line.split() for line in lines[start + 1 :]]
    assert set(workload.operators) <= {row[0] for row in rows}
    for column, total in ((-3, cost.energy_nj), (-2, cost.latency_us), (-1, cost.area_mm2)):
        assert sum(float(row[column]) for row in rows if row[column] != "–") == pytest.approx(total, rel=1e-3)


def test_converters_that_clip_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """With fewer converter bits than the chip needs, the line says that sums are clipped."""
    main(tyro.cli(Options, args=["--hardware.preset", "isaac32", "--hardware.adc-bits", "6"]))
    assert "converters clip" in capsys.readouterr().out


def test_an_impossible_chip_is_refused() -> None:
    """A ValueError names the option."""
    with pytest.raises(ValueError, match="adc_bits is 10; the source of mnsim"):
        main(tyro.cli(Options, args=["--hardware.adc-bits", "10"]))
