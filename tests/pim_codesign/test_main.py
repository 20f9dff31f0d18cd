"""The command that prints a chip's breakdown."""

import json
from pathlib import Path

import numpy
import pytest

from modules.space import NASREC_SMALL, InputShape, single_operator_any_connection
from pim_codesign import PRESETS, evaluate, workload_of_subnet
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
