"""How long a call of an exported model takes in each format: p50, p99 and rows a second, all measured in turn.

B batch, I dense inputs, C columns of ids.
"""

import contextlib
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.run.processes import cpu_threads
from pipeline.serving.bench_config import ServeBenchConfig, Variant
from pipeline.serving.exported_model import ExportedModel
from pipeline.serving.graph_formats import graph_file
from pipeline.serving.precision import with_precision
from pipeline.serving.rebuilt import rebuilt

Call = Callable[[Tensor, Tensor], Any]
"""(dense [B, I], ids [B, C]) → probability, in whatever form."""
INPUTS = 8
"""Different batches that calls go through."""
WARM_UP_CALLS = 5


@dataclass(frozen=True)
class Latency:
    """Of calls of one variant with batches of one size."""

    p50_us: float
    """Median of the calls' wall-clock time, µs."""
    p99_us: float
    """99th percentile, µs; the largest of fewer than 100 calls."""
    rows_per_s: float
    """Rows over the calls' wall-clock time."""
    cpu_us: float
    """CPU time of a call, µs: the median of the rounds' means. Other processes move it less than wall-clock time."""


def measure(config: ServeBenchConfig) -> dict[int, dict[Variant, Latency]]:
    """Each variant's latency, by batch size. Raises ValueError for an export that cannot be rebuilt."""
    model = rebuilt(config.model)
    with cpu_threads(config.threads), torch.inference_mode(), contextlib.ExitStack() as files:
        folder = Path(files.enter_context(tempfile.TemporaryDirectory(prefix="serve_bench_")))
        calls = {name: files.enter_context(_call(name, model, folder, config.threads)) for name in config.variants}
        return {rows: _in_turn(calls, model, rows, config) for rows in config.batches}


@contextlib.contextmanager
def _call(name: Variant, model: ExportedModel, folder: Path, threads: int) -> Iterator[Call]:
    """A variant of the model, as a function."""
    match name:
        case "eager":
            yield model
        case "torchscript" | "frozen" | "optimized" | "int8":
            yield _scripted(name, with_precision(model, "int8" if name == "int8" else "fp32", "fp32"))
        case "pt2" | "pt2_int8":
            with graph_file(
                with_precision(model, "int8" if name == "pt2_int8" else "fp32", "fp32"), folder, "pt2"
            ) as path:
                run = torch._inductor.aoti_load_package(str(path), run_single_threaded=True).loader.boxed_run
                yield lambda dense, ids: run([dense, ids])
        case "onnx":
            with graph_file(model, folder, "onnx") as path:
                yield _onnx(path, threads)


def _scripted(name: Variant, model: ExportedModel) -> Call:
    scripted: Any = torch.jit.script(model)
    if name == "torchscript":
        return scripted
    frozen: Any = torch.jit.freeze(scripted)
    return torch.jit.optimize_for_inference(frozen) if name == "optimized" else frozen


def _onnx(path: Path, threads: int) -> Call:
    import onnxruntime  # only where it is measured

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda dense, ids: session.run(["probability"], {"dense": dense.numpy(), "ids": ids.numpy()})


def _in_turn(
    calls: dict[Variant, Call], model: ExportedModel, rows: int, config: ServeBenchConfig
) -> dict[Variant, Latency]:
    """Rounds in which each variant is called for a while."""
    generator, columns = torch.Generator().manual_seed(rows), model.table_rows[model.id_fields]
    batches = [
        (
            4 * torch.rand(rows, model.integers, generator=generator),
            (torch.rand(rows, len(columns), generator=generator, dtype=torch.float64) * columns).long(),
        )
        for _ in range(INPUTS)
    ]
    for call in calls.values():
        for dense, ids in batches[:WARM_UP_CALLS]:
            call(dense, ids)
    walls: dict[Variant, list[float]] = {name: [] for name in calls}
    processors: dict[Variant, list[float]] = {name: [] for name in calls}
    for _, (name, call) in itertools.product(range(config.rounds), calls.items()):
        before, processor = len(walls[name]), time.process_time()
        end = time.perf_counter() + config.seconds
        for dense, ids in itertools.cycle(batches):
            begun = time.perf_counter()
            call(dense, ids)
            done = time.perf_counter()
            walls[name].append(done - begun)
            if done > end:
                break
        processors[name].append((time.process_time() - processor) / (len(walls[name]) - before))
    return {name: _latency(sorted(walls[name]), processors[name], rows) for name in calls}


def _latency(walls: list[float], processors: list[float], rows: int) -> Latency:
    p99 = walls[min(len(walls) - 1, int(0.99 * len(walls)))]
    return Latency(
        p50_us=1e6 * statistics.median(walls),
        p99_us=1e6 * p99,
        rows_per_s=rows * len(walls) / sum(walls),
        cpu_us=1e6 * statistics.median(processors),
    )


def in_words(found: dict[int, dict[Variant, Latency]]) -> str:
    """The latencies as a table."""
    lines = [f"{'rows':>5}  {'format':<12} {'p50 µs':>10} {'p99 µs':>10} {'rows/s':>12} {'CPU µs':>10}  CPU of eager"]
    for rows, variants in found.items():
        eager = variants.get("eager")
        for name, one in variants.items():
            times = f"{eager.cpu_us / one.cpu_us:.2f} ×" if eager is not None else ""
            lines.append(
                f"{rows:>5}  {name:<12} {one.p50_us:>10,.0f} {one.p99_us:>10,.0f} {one.rows_per_s:>12,.0f} "
                f"{one.cpu_us:>10,.0f}  {times}"
            )
    return "\n".join(lines)
