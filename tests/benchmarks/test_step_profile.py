"""The profile command: it counts what the paths hold, times every part, and writes a trace that can be read."""

import json
from pathlib import Path

import numpy
import pytest
import torch

from benchmarks.step_profile import ProfileConfig, Profiler, main, table
from modules.space import NASREC_SMALL, InputShape, multiply_accumulates, single_operator_any_connection

SMALL = ["--space", "nasrec_small", "--steps", "2", "--batch-size", "4", "--embedding-width", "4", "--fields", "3"]


@pytest.mark.slow
def test_counts_every_operation_of_the_paths() -> None:
    """Operations over the operators are six a multiply-accumulate and row, the head's left out; all parts took time."""
    config = ProfileConfig(space="nasrec_small", steps=3, batch_size=4, integers=2, fields=3, embedding_width=4)
    profile = Profiler(config).profile()
    draws, shape = numpy.random.default_rng(0), InputShape(2, 3, 4)
    drawn = [single_operator_any_connection(NASREC_SMALL, draws) for _ in range(6)][3:]  # three are the warm-up
    heads = 0
    for block in (architecture.blocks[-1] for architecture in drawn):
        heads += block.dense_width + (block.sparse_width + 8 * (block.dense_to_sparse is not None)) * 4
    expected = 6 * 4 * (sum(multiply_accumulates(architecture, shape) for architecture in drawn) - heads)
    assert sum(cost.operations for cost in profile.operators.values()) == expected
    assert set(profile.operators) <= {"fc", "dot_product", "efc", "dense_to_sparse", "sparse_to_dense"}
    assert list(profile.parts_s) == ["path", "forward", "backward", "clip", "optimizer"]
    assert all(seconds > 0 for seconds in profile.parts_s.values()) and profile.gemm_rate > 0
    assert all(name in table(profile, config) for name in profile.operators)


def test_program_writes_a_chrome_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command line prints the table and a trace whose events name torch's operations."""
    trace = tmp_path / "trace.json"
    threads = torch.get_num_threads()
    assert main([*SMALL, "--threads", str(threads + 1), "--trace", str(trace)]) == 0
    assert torch.get_num_threads() == threads
    printed = capsys.readouterr().out
    assert "whole step" in printed and "efc" in printed and str(trace) in printed
    events = json.loads(trace.read_text())["traceEvents"]
    assert any(event.get("name") == "aten::native_layer_norm" for event in events)


@pytest.mark.parametrize(("field", "value"), [("--steps", "0"), ("--sampler", "best"), ("--batch-size", "0")])
def test_wrong_settings_are_told(field: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong field ends the program, naming the field."""
    with pytest.raises(SystemExit) as ended:
        main([*SMALL, field, value])
    assert ended.value.code == 2
    assert field.strip("-").replace("-", "_") in capsys.readouterr().err
