"""Our supernet's training step beside the published reference's, on the same paths, rows and machine.

python benchmarks/supernet_step.py [--reference PATH] [--paths 60] [--quick]

CPU-seconds are of this process, totals over the paths after warm-up, the two sides alternating path by path;
memory is each side's peak resident set in a process of its own. Both sides look up the same plain embedding tables
and pay for everything: forward, backward, clipping, optimizer. The reference has no open space: there a network's step
in the supernet is set beside its own standing alone; nor has it bits: a step of paths with sampled bits is set beside
that of the same paths in floating point. Without --reference these two are all. The last line is one JSON object.
"""

import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy
import torch
import tyro
from torch import Tensor, nn

from benchmarks import nasrec_reference
from benchmarks.nasrec_reference import Step
from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    OPEN,
    Architecture,
    InputShape,
    SearchSpace,
    from_nasrec_json,
    full_path,
    multiply_accumulates,
    single_operator_any_connection,
)
from modules.space.search_space import with_bits
from modules.supernet import OwnWeights, Slice, SlicedAdagrad, Subnet, Supernet
from modules.supernet import Path as SubnetPath

SHAPE = InputShape(integers=13, fields=26, embedding_width=16)
TABLE_ROWS, LEARNING_RATE, CLIP_NORM, EPSILON = 1000, 0.01, 5.0, 1e-2
SPACES = {"full": NASREC_FULL, "small": NASREC_SMALL}
H200_BF16_RATE = 989e12
"""Dense bf16 operations a second of an H200 (NVIDIA's data sheet, without sparsity)."""


@dataclass(frozen=True)
class Options:
    """Compare a training step with the reference's."""

    reference: str = ""
    """Folder of a checkout of facebookresearch/NasRec; empty: nothing is compared with it."""
    paths: int = 60
    """Sampled paths a space, after the warm-up."""
    warm_up: int = 5
    """Paths before them that are not measured."""
    batch_size: int = 512
    """Rows a step."""
    threads: int = 1
    """Threads of both sides (CPU-seconds count the waiting of idle ones too)."""
    seed: int = 0
    """Of paths, rows and weights."""
    quick: bool = False
    """A few steps only, to see that the program works."""
    memory_of: Literal["", "ours", "reference"] = ""
    """Only train this side's Full supernet and print the peak (what the program starts for the memory figures)."""


class Tables(nn.Module):
    """Plain embedding tables, as the reference has them: ids [B, F] → [B, F, D]."""

    def __init__(self, shape: InputShape) -> None:
        super().__init__()
        tables = (nn.Embedding(TABLE_ROWS, shape.embedding_width) for _ in range(shape.fields))
        self.tables = nn.ModuleList(tables)

    def forward(self, ids: Tensor) -> Tensor:
        """Looks every field's column up in its table."""
        return torch.stack([table(ids[:, field]) for field, table in enumerate(self.tables)], dim=1)


def our_step(tables: Tables, parameters: dict[str, Tensor], path: Callable[[], SubnetPath], shape: InputShape) -> Step:
    """One step as pipeline/training/loop.py makes it, with plain tables."""
    table_slices = tuple(Slice(f"tables.{name}", (), table) for name, table in tables.named_parameters())
    optimizer = SlicedAdagrad({**parameters, **{part.name: part.leaf for part in table_slices}}, EPSILON)

    def step(dense: Tensor, ids: Tensor, label: Tensor) -> None:
        current = path()
        slices = current.slices + table_slices
        nn.functional.binary_cross_entropy_with_logits(current.network(dense, tables(ids)), label).backward()
        nn.utils.clip_grad_norm_([part.leaf for part in slices], CLIP_NORM)
        optimizer.step(slices, LEARNING_RATE)

    return step


def our_supernet_step(space: SearchSpace, architectures: Iterator[Architecture], device: str = "cpu") -> Step:
    """A step of our supernet on the next of the architectures."""
    supernet = Supernet(space, SHAPE, torch.Generator().manual_seed(0)).to(device)
    tables = Tables(SHAPE).to(device)
    return our_step(tables, dict(supernet.parameters_by_name()), lambda: supernet.path(next(architectures)), SHAPE)


def our_standalone_step(architecture: Architecture, shape: InputShape, layer_norm: bool = False) -> Step:
    """A step of a standalone network, by default without layer norms as the reference builds them."""
    network = Subnet(architecture, shape, weights=OwnWeights(layer_norm=layer_norm))
    parameters = dict(network.named_parameters())
    path = SubnetPath(network, tuple(Slice(name, (), parameter) for name, parameter in parameters.items()))
    return our_step(Tables(shape), dict(parameters), lambda: path, shape)


def reference_supernet_step(
    reference: Any, space: SearchSpace, architectures: Iterator[Architecture], device: str = "cpu"
) -> Step:
    """A step of the reference's supernet on the next of the same architectures."""
    model: Any = nasrec_reference.build_supernet(reference, space, SHAPE, TABLE_ROWS, device)
    train = nasrec_reference.train_step(model, LEARNING_RATE, CLIP_NORM)

    def step(dense: Tensor, ids: Tensor, label: Tensor) -> None:
        model.configure_choice(nasrec_reference.choice_of(next(architectures), space))
        train(dense, ids, label)

    return step


def sampled(space: SearchSpace, seed: int) -> Iterator[Architecture]:
    """The endless sequence of paths of a seed."""
    generator = numpy.random.default_rng(seed)
    while True:
        yield single_operator_any_connection(space, generator)


def rows(shape: InputShape, batch_size: int, seed: int, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """One batch: dense inputs, ids and labels."""
    generator = torch.Generator().manual_seed(seed)
    dense = torch.rand(batch_size, shape.integers, generator=generator)
    ids = torch.randint(TABLE_ROWS, (batch_size, shape.fields), generator=generator)
    return dense.to(device), ids.to(device), (torch.rand(batch_size, generator=generator) < 0.25).float().to(device)


def alternate(ours: Step, theirs: Step, batch: tuple[Tensor, Tensor, Tensor], warm_up: int, steps: int) -> list[float]:
    """CPU-seconds a step of both sides, one step each in turn."""
    totals = [0.0, 0.0]
    for index in range(warm_up + steps):
        for side, step in enumerate((ours, theirs)):
            start = time.process_time()
            step(*batch)
            totals[side] += time.process_time() - start if index >= warm_up else 0.0
    return [total / steps for total in totals]


def compare_supernets(reference: Any, options: Options) -> dict[str, float]:
    """Ratio of CPU-seconds a step for both spaces."""
    ratios = {}
    batch = rows(SHAPE, options.batch_size, options.seed)
    for name, space in SPACES.items():
        ours = our_supernet_step(space, sampled(space, options.seed))
        theirs = reference_supernet_step(reference, space, sampled(space, options.seed))
        ours_s, theirs_s = alternate(ours, theirs, batch, options.warm_up, options.paths)
        draws = sampled(space, options.seed)
        drawn = [next(draws) for _ in range(options.warm_up + options.paths)][options.warm_up :]
        macs = sum(multiply_accumulates(architecture, SHAPE) for architecture in drawn) / len(drawn)
        gflop = 6 * macs * options.batch_size / 1e9  # forward and twice as much backward, two operations each
        ratios[f"{name}_vs_reference"] = theirs_s / ours_s
        print_row(f"supernet {name} ({gflop:.1f} GFLOP)", [f"{ours_s:.3f} s", f"{theirs_s:.3f} s"], theirs_s / ours_s)
    return ratios


def compare_open(options: Options) -> float:
    """A step of a sampled network of the open space inside its supernet against its own step standing alone."""
    supernet = Supernet(OPEN, SHAPE, torch.Generator().manual_seed(0))
    tables = Tables(SHAPE)
    parameters: dict[str, Tensor] = dict(supernet.parameters_by_name())
    batch, totals, steps = rows(SHAPE, options.batch_size, options.seed), numpy.zeros(2), 2 if options.quick else 8
    draws = sampled(OPEN, options.seed)
    for architecture in (next(draws) for _ in range(max(2, options.paths // 3))):
        inside = our_step(tables, parameters, functools.partial(supernet.path, architecture), SHAPE)
        alone = our_standalone_step(architecture, SHAPE, layer_norm=True)
        totals += alternate(inside, alone, batch, 1, steps)
    ratio = float(totals[0] / totals[1])
    print_row("open: in the supernet, standing alone", [f"{total:.3f} s" for total in totals], ratio)
    return ratio


def compare_bits(options: Options) -> dict[str, float]:
    """A step of sampled paths with sampled bits against the same paths in floating point, in one supernet."""
    ratios = {}
    batch = rows(SHAPE, options.batch_size, options.seed)
    for name, space in {**SPACES, "open": OPEN}.items():
        supernet = Supernet(with_bits(space), SHAPE, torch.Generator().manual_seed(0))
        tables, draws = Tables(SHAPE), sampled(supernet.space, options.seed)
        parameters: dict[str, Tensor] = dict(supernet.parameters_by_name())
        drawn = [next(draws) for _ in range(options.warm_up + options.paths)]
        low, full = iter(drawn), iter(drawn)
        with_bits_s, float_s = alternate(
            our_step(tables, parameters, lambda low=low, own=supernet: own.path(next(low)), SHAPE),  # type: ignore[misc]
            our_step(tables, parameters, lambda full=full, own=supernet: own.path(next(full).in_float()), SHAPE),  # type: ignore[misc]
            batch,
            options.warm_up,
            options.paths,
        )
        ratios[f"{name}_bits_vs_float"] = with_bits_s / float_s
        print_row(f"supernet {name}: bits, float", [f"{with_bits_s:.3f} s", f"{float_s:.3f} s"], with_bits_s / float_s)
    return ratios


def compare_standalone(reference: Any, options: Options) -> float:
    """Ratio of rows trained a CPU-second, over all published architectures together."""
    totals = numpy.zeros(2)
    steps = 2 if options.quick else 20
    for name, shape, choice in nasrec_reference.published(options.reference):
        ours = our_standalone_step(from_nasrec_json(choice), shape)
        model = nasrec_reference.build_standalone(reference, choice, shape, TABLE_ROWS)
        theirs = nasrec_reference.train_step(model, LEARNING_RATE, CLIP_NORM)
        seconds = alternate(ours, theirs, rows(shape, options.batch_size, options.seed), 3, steps)
        totals += seconds
        rates = [f"{options.batch_size / second:,.0f} rows/s" for second in seconds]
        print_row(f"standalone {name[3:]}", rates, seconds[1] / seconds[0])
    return float(totals[1] / totals[0])


def compare_memory(options: Options) -> float:
    """Ours over the reference's peak, each in a fresh process that trains the Full supernet."""
    peaks = []
    for side in ("ours", "reference"):
        command = [sys.executable, __file__, "--reference", options.reference, "--memory-of", side]
        command += ["--paths", str(options.paths), "--batch-size", str(options.batch_size), "--seed", str(options.seed)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        peaks.append(float(output.splitlines()[-1]))
    print_row("peak memory, full", [f"{peak:.2f} GB" for peak in peaks], peaks[0] / peaks[1])
    return peaks[0] / peaks[1]


def peak_gigabytes(options: Options) -> float:
    """Train one side's Full supernet; the peak resident set of this process."""
    draws = sampled(NASREC_FULL, options.seed)
    if options.memory_of == "ours":
        step = our_supernet_step(NASREC_FULL, draws)
    else:
        reference = nasrec_reference.open_reference(options.reference)
        step = reference_supernet_step(reference, NASREC_FULL, draws)
    batch = rows(SHAPE, options.batch_size, options.seed)
    for _ in range(options.paths):
        step(*batch)
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 2**20  # not ru_maxrss, which starts from the parent's peak


def compare_on_gpu(reference: Any) -> None:
    """Rows a second of the dense Full supernet (full path, bf16 autocast for ours), and the share of the bf16 rate."""
    if not torch.cuda.is_available():
        print("GPU: not run, torch sees no CUDA device here")
        return
    generator = numpy.random.default_rng(0)
    architecture = full_path(NASREC_FULL, generator)
    for batch_size in (4_096, 16_384):
        batch = rows(SHAPE, batch_size, 0, "cuda")
        operations = 6 * multiply_accumulates(architecture, SHAPE) * batch_size

        def repeat() -> Iterator[Architecture]:
            while True:
                yield architecture

        rates = []
        ours = our_supernet_step(NASREC_FULL, repeat(), "cuda")
        theirs = reference_supernet_step(reference, NASREC_FULL, repeat(), "cuda")
        for step, lower_precision in ((ours, True), (theirs, False)):
            with torch.autocast("cuda", torch.bfloat16, enabled=lower_precision):
                rates.append(batch_size / gpu_seconds(step, batch))
        share = rates[0] / batch_size * operations / H200_BF16_RATE
        label = f"GPU batch {batch_size} (ours: {share:.1%} of bf16)"
        print_row(label, [f"{rate:,.0f} rows/s" for rate in rates], rates[0] / rates[1])


def gpu_seconds(step: Step, batch: tuple[Tensor, Tensor, Tensor], steps: int = 20) -> float:
    """Seconds a step, after three of warm-up."""
    for _ in range(3):
        step(*batch)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        step(*batch)
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / steps


def print_row(what: str, sides: list[str], ratio: float) -> None:
    """One line of the table: ours, theirs and their ratio."""
    print(f"{what:42} {sides[0]:>16} {sides[1]:>16} {ratio:8.2f}x", flush=True)


def main() -> None:
    """Run every comparison."""
    options = tyro.cli(Options)
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print(peak_gigabytes(options))
        return
    if options.quick:
        options = Options(options.reference, paths=2, warm_up=1, batch_size=64, quick=True)
    reference = nasrec_reference.open_reference(options.reference) if options.reference else None
    print(f"batch {options.batch_size}, {options.paths} paths a space, {options.threads} thread(s)")
    print(f"{'':42} {'ours':>16} {'reference':>16} {'ratio':>9}")
    figures = compare_supernets(reference, options) if reference else {}
    figures["open_vs_standalone"] = compare_open(options)
    figures |= compare_bits(options)
    if reference:
        figures["memory_vs_reference"] = compare_memory(options)
        figures["standalone_vs_reference"] = compare_standalone(reference, options)
        compare_on_gpu(reference)
    print(json.dumps({name: round(figure, 3) for name, figure in figures.items()}))


if __name__ == "__main__":
    main()
