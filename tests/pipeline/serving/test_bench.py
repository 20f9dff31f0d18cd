"""pipeline/serving/bench.py: every format is measured on the same model, and figures are those of the calls."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.serve_bench import main
from pipeline.serving.bench import Latency, _call, _in_turn, in_words
from pipeline.serving.bench_config import ServeBenchConfig
from tests.pipeline.serving.test_precision import inputs, model_of
from tests.pipeline.serving.test_rebuilt import written


@pytest.mark.slow
@pytest.mark.parametrize("name", ["eager", "torchscript", "frozen", "optimized", "onnx", "int8"])
def test_each_variant_is_the_model(name: Any, tmp_path: Path) -> None:
    """What is measured gives the model's probabilities."""
    model = model_of()
    with torch.inference_mode(), _call(name, model, tmp_path, 1) as call:
        for rows in (1, 100):
            found = call(*inputs(rows))
            found = torch.as_tensor(found[0] if isinstance(found, list) else found)
            allowed = 0.02 if name == "int8" else 1e-6
            torch.testing.assert_close(found, model(*inputs(rows)), rtol=0, atol=allowed)


def test_figures_are_the_calls() -> None:
    """Of a call that sleeps 2 ms and one that works 2 ms: both take that long, and only one on the processor; ids
    and sizes are the model's."""
    model, seen = model_of(), list[tuple[Any, Any]]()

    def sleep(dense: Any, ids: Any) -> None:
        seen.append((dense, ids))
        time.sleep(0.002)

    def work(dense: Any, ids: Any) -> None:
        end = time.process_time() + 0.002
        while time.process_time() < end:
            pass

    config = ServeBenchConfig("", batches=(5,), rounds=2, seconds=0.05)
    found = _in_turn({"pt2": sleep, "onnx": work}, model, 5, config)
    assert found["pt2"].p50_us >= 2_000 and found["onnx"].p50_us >= 1_900
    assert found["pt2"].cpu_us < 0.5 * found["onnx"].cpu_us and found["onnx"].cpu_us >= 1_900
    for one in found.values():
        assert one.p50_us <= one.p99_us and one.rows_per_s <= 5 / 1_900e-6
    assert all(dense.shape == (5, 3) and ids.shape == (5, 4) for dense, ids in seen)
    assert all(bool((ids < model.table_rows).all()) for _, ids in seen)


def test_in_words() -> None:
    """A line for each format, with how many times less CPU time it takes than eager."""
    latencies = {"eager": Latency(100.0, 200.0, 1e4, 100.0), "pt2": Latency(20.0, 30.0, 5e4, 20.0)}
    lines = in_words({1: latencies}).splitlines()  # type: ignore[dict-item]
    assert len(lines) == 3 and lines[1].endswith("1.00 ×") and lines[2].endswith("5.00 ×")
    assert lines[2].split()[:5] == ["1", "pt2", "20", "30", "50,000"]


@pytest.mark.slow
def test_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with JSON: the figures by batch size and format; what is no export is one line."""
    written(tmp_path)
    options = ["--batches", "1", "8", "--variants", "eager", "frozen", "--rounds", "1", "--seconds", "0.02"]
    assert main([str(tmp_path), *options]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found) == {"1", "8"} and set(found["8"]) == {"eager", "frozen"}
    assert set(found["1"]["eager"]) == {"p50_us", "p99_us", "rows_per_s", "cpu_us"}
    assert main([str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("pipeline.serve_bench: ")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rounds": 0}, "rounds is 0; it must be at least 1"),
        ({"threads": 0}, "threads is 0; it must be at least 1"),
        ({"seconds": 0.0}, "seconds is 0.0; it must be above 0"),
        ({"batches": (1, 0)}, r"batches is \[1, 0\]; give sizes of at least 1"),
        ({"variants": ("fast",)}, r"variants has \['fast'\]; choose of"),
    ],
)
def test_wrong_settings(fields: dict[str, Any], message: str) -> None:
    """A ValueError naming the setting and the value."""
    with pytest.raises(ValueError, match=message):
        ServeBenchConfig("runs/mine", **fields)
