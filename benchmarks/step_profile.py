"""Where a supernet step's time goes.

    python -m benchmarks.step_profile [--space nasrec_full] [--steps 20] [--trace PATH]

Runs training steps of random sub-networks on random rows and looked-up vectors (tables, data and ranks are not part of
it), then every operator of each alone, forward and backward, on the inputs that it had. Its share of the GEMM rate is
its multiply-accumulates (two operations each, three times over for forward and both gradients) per second against a
large square product measured on the spot.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy
import torch
import tyro
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.space import Architecture, InputShape
from modules.space.plan import plan
from modules.space.sampling import SAMPLERS
from modules.space.search_space import SPACES
from modules.supernet import Path as SubnetPath
from modules.supernet import SlicedAdagrad, Supernet
from pipeline.run.files import atomic_write
from pipeline.run.processes import cpu_threads

GEMM_WIDTH = 1024
"""Rows and columns of the product that gives the machine's rate."""

OPERATIONS = 6
"""Per multiply-accumulate in training: two each for the output and for the gradients of both factors."""


@dataclass(frozen=True)
class ProfileConfig:
    """Profile the supernet's training step by operator."""

    space: Literal["nasrec_full", "nasrec_small", "open"] = "nasrec_full"
    """The search space."""
    sampler: str = "single_operator_any_connection"
    """Which paths: single_operator_any_connection, single_path, any_path, full_path."""
    steps: int = 20
    """Random sub-networks, at least 1."""
    batch_size: int = 512
    """Rows a step, at least 1."""
    integers: int = 13
    """Dense inputs I."""
    fields: int = 26
    """Categorical fields F."""
    embedding_width: int = 16
    """Width D of the looked-up vectors."""
    threads: int = 1
    """Threads of torch's CPU kernels, at least 1."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to run. On the CPU times are CPU-seconds of the process, on CUDA seconds."""
    seed: int = 0
    """Of the paths, rows and weights, at least 0."""
    trace: str = ""
    """File for a Chrome trace of three more steps (chrome://tracing, Perfetto); empty: none."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.sampler not in SAMPLERS:
            raise ValueError(f"sampler is {self.sampler!r}; choose one of {sorted(SAMPLERS)}")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must be at least 0")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("device is cuda, but torch sees no CUDA device here; use --device cpu")


@dataclass
class OperatorTime:
    """What one kind of operator cost over all steps."""

    calls: int = 0
    """How often it was in a path."""
    forward_s: float = 0.0
    """Seconds of its forward passes."""
    backward_s: float = 0.0
    """Seconds of its backward passes."""
    operations: float = 0.0
    """Arithmetic operations of both."""


@dataclass
class Profile:
    """Times by operator and by part of the step."""

    gemm_rate: float
    """Operations a second of a large product."""
    operators: dict[str, OperatorTime] = field(default_factory=lambda: defaultdict(OperatorTime))
    """By operator or merger, each computed alone."""
    parts_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds of whole steps by part: path, forward, backward, clip, optimizer."""


class Clock:
    """CPU-seconds, or seconds on CUDA with its queue run empty."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def now(self) -> float:
        """Seconds since some moment."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            return time.perf_counter()
        return time.process_time()

    def seconds(self, work: Callable[[], Any], repeats: int = 1) -> float:
        """The least seconds that the work took."""
        found = []
        for _ in range(repeats):
            start = self.now()
            work()
            found.append(self.now() - start)
        return min(found)


class Profiler:
    """A supernet with rows to train on, and the clock."""

    def __init__(self, config: ProfileConfig) -> None:
        self.config, device = config, torch.device(config.device)
        self.clock = Clock(device)
        self.shape = InputShape(config.integers, config.fields, config.embedding_width)
        self.space = SPACES[config.space]
        generator = torch.Generator().manual_seed(config.seed)
        self.supernet = Supernet(self.space, self.shape, generator).to(device)
        self.optimizer = SlicedAdagrad(self.supernet.parameters_by_name(), epsilon=1e-2)
        self.draws = numpy.random.default_rng(config.seed)
        rows = config.batch_size
        self.dense = torch.rand(rows, config.integers, generator=generator).to(device)
        self.embedded = torch.randn(rows, config.fields, config.embedding_width, generator=generator).to(device)
        self.embedded.requires_grad_()  # the tables' gradient is part of a step
        self.label = (torch.rand(rows, generator=generator) < 0.25).float().to(device)

    def profile(self) -> Profile:
        """Profile the configured number of steps, after three of warm-up."""
        profile = Profile(self.gemm_rate())
        for _ in range(3):
            self.step(self.draw(), defaultdict(float))
        for _ in range(self.config.steps):
            architecture = self.draw()
            path = self.step(architecture, profile.parts_s)
            self.operators(architecture, path, profile.operators)
        return profile

    def draw(self) -> Architecture:
        """The next path."""
        return SAMPLERS[self.config.sampler](self.space, self.draws)

    def gemm_rate(self) -> float:
        """Operations a second of a large square product, the best of ten."""
        left, right = (torch.rand(GEMM_WIDTH, GEMM_WIDTH, device=self.clock.device) for _ in range(2))
        return 2 * GEMM_WIDTH**3 / self.clock.seconds(lambda: left @ right, repeats=10)

    def step(self, architecture: Architecture, parts_s: dict[str, float]) -> SubnetPath:
        """One training step; adds up what its parts took."""
        moments = [self.clock.now()]
        path = self.supernet.path(architecture)
        moments.append(self.clock.now())
        loss = binary_cross_entropy_with_logits(path.network(self.dense, self.embedded), self.label)
        moments.append(self.clock.now())
        loss.backward()
        moments.append(self.clock.now())
        nn.utils.clip_grad_norm_([part.leaf for part in path.slices], 5.0)
        moments.append(self.clock.now())
        self.optimizer.step(path.slices, learning_rate=0.01)
        moments.append(self.clock.now())
        names = ("path", "forward", "backward", "clip", "optimizer")
        for name, start, stop in zip(names, moments, moments[1:], strict=False):
            parts_s[name] += stop - start
        self.embedded.grad = None
        return path

    def operators(self, architecture: Architecture, path: SubnetPath, times: dict[str, OperatorTime]) -> None:
        """Every operator of a path alone, on the inputs that it has in the path."""
        counts = {part.path: part for part in plan(architecture, self.shape)}
        parts = dict(path.network.named_modules())
        modules = {name: parts[name] for name in counts if name in parts}  # a path's head is no module
        for name, inputs in _captured(path.network, modules, self.dense, self.embedded).items():
            spent = times[name.split(".")[-1]]
            start = self.clock.now()
            output = modules[name](*inputs)
            middle = self.clock.now()
            output.backward(torch.ones_like(output))
            stop = self.clock.now()
            spent.calls += 1
            spent.forward_s += middle - start
            spent.backward_s += stop - middle
            spent.operations += OPERATIONS * counts[name].multiply_accumulates * self.config.batch_size

    def trace(self, file: Path) -> None:
        """Write a Chrome trace of three steps."""
        with torch.profiler.profile() as recorded:
            for _ in range(3):
                self.step(self.draw(), defaultdict(float))
        with atomic_write(file, text=True) as handle:
            recorded.export_chrome_trace(handle.name)


def _captured(
    network: nn.Module, modules: dict[str, nn.Module], dense: Tensor, embedded: Tensor
) -> dict[str, tuple[Any, ...]]:
    """What each module is handed in one forward pass, detached from the others, with gradients required."""
    found: dict[str, tuple[Any, ...]] = {}

    def capture(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            found[name] = tuple(_detached(part) for part in inputs)

        return hook

    handles = [module.register_forward_pre_hook(capture(name)) for name, module in modules.items()]
    with torch.no_grad():
        network(dense, embedded)
    for handle in handles:
        handle.remove()
    return found


def _detached(part: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
    if isinstance(part, list):
        return [one.detach().requires_grad_() for one in part]
    return part.detach().requires_grad_()


def table(profile: Profile, config: ProfileConfig) -> str:
    """The figures as text: milliseconds are a step's mean."""
    steps, total_s = config.steps, sum(profile.parts_s.values())
    lines = [
        f"{config.space}, {config.sampler}, batch {config.batch_size}, {steps} steps, {config.threads} thread(s); "
        f"GEMM rate {profile.gemm_rate / 1e9:.0f} GFLOP/s",
        f"{'part of a step':18} {'ms':>8} {'share':>7}",
    ]
    for name, seconds in profile.parts_s.items():
        lines.append(f"{name:18} {seconds / steps * 1e3:8.2f} {seconds / total_s:7.1%}")
    lines += [
        f"{'whole step':18} {total_s / steps * 1e3:8.2f}",
        "",
        f"{'operator (alone)':18} {'a step':>7} {'forward':>9} {'backward':>9} "
        f"{'of step':>8} {'GFLOP':>7} {'of GEMM':>8}",
    ]
    for name, cost in sorted(profile.operators.items(), key=lambda item: -item[1].forward_s - item[1].backward_s):
        seconds = cost.forward_s + cost.backward_s
        lines.append(
            f"{name:18} {cost.calls / steps:7.2f} {cost.forward_s / steps * 1e3:6.2f} ms "
            f"{cost.backward_s / steps * 1e3:6.2f} ms {seconds / total_s:8.1%} {cost.operations / steps / 1e9:7.2f} "
            f"{cost.operations / seconds / profile.gemm_rate:8.1%}"
        )
    operations = sum(cost.operations for cost in profile.operators.values())
    share = operations / total_s / profile.gemm_rate
    lines.append(f"{'all, in the step':18} {'':36} {operations / steps / 1e9:7.2f} {share:8.1%}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit code."""
    try:
        config = tyro.cli(ProfileConfig, prog="benchmarks.step_profile", args=arguments)
        with cpu_threads(config.threads):
            profiler = Profiler(config)
            print(table(profiler.profile(), config))
            if config.trace:
                profiler.trace(Path(config.trace))
                print(f"trace of three steps: {config.trace}")
    except (ValueError, OSError) as error:
        print(f"benchmarks.step_profile: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
