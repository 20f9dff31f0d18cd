"""Settings of the latency measurement (python -m pipeline.serve_bench); read without torch."""

from dataclasses import dataclass
from typing import Literal, get_args

import tyro

Variant = Literal["eager", "torchscript", "frozen", "optimized", "pt2", "onnx", "int8", "pt2_int8"]
"""eager: the module in Python; torchscript: model.pt as it is loaded; frozen: torch.jit.freeze of it; optimized:
optimize_for_inference of that; pt2: AOTInductor; onnx: ONNX Runtime; int8: frozen, with tables in int8; pt2_int8."""


@dataclass(frozen=True)
class ServeBenchConfig:
    """Measure an export's latency in every format, in turn, for several batch sizes."""

    model: tyro.conf.Positional[str]
    """The folder of an export (a run's), or its model.pt, in fp32. The other formats are made for the measurement."""
    batches: tuple[int, ...] = (1, 4, 16, 64, 256, 1024, 4096)
    """Rows of a call, each at least 1."""
    variants: tuple[Variant, ...] = get_args(Variant)
    """What is measured."""
    rounds: int = 5
    """How often each is measured, all others between, at least 1: what else runs on the machine then meets all."""
    seconds: float = 0.3
    """Seconds of a variant in a round, above 0."""
    threads: int = 1
    """Threads of a call, at least 1."""

    def __post_init__(self) -> None:
        for name, least in (("rounds", 1), ("threads", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not self.seconds > 0:
            raise ValueError(f"seconds is {self.seconds}; it must be above 0")
        if not self.batches or min(self.batches) < 1:
            raise ValueError(f"batches is {list(self.batches)}; give sizes of at least 1")
        unknown = [one for one in self.variants if one not in get_args(Variant)]
        if unknown or not self.variants:
            raise ValueError(f"variants has {unknown}; choose of {list(get_args(Variant))}")
