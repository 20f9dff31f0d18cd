"""The settings of a plan: how many GPUs of which kind, and what is assumed of them."""

from dataclasses import dataclass
from typing import Literal

Hardware = Literal["a100_40", "a100_80", "h100", "h200"]
GPUS_A_NODE = 8
"""In NVIDIA's DGX and HGX machines, and the cloud's that are made like them."""


@dataclass(frozen=True)
class PlanConfig:
    """Plan a run's embedding tables for GPUs that need not be here. Settings of the run (--data.schema,
    --model.embedding-width, --supernet.batch-size, ...: see python -m pipeline.chain --help) may follow, and a named
    run may stand first."""

    world_size: tuple[int, ...] = (GPUS_A_NODE,)
    """Numbers of GPUs, one or several, to compare."""
    local_world_size: int = GPUS_A_NODE
    """GPUs of a node, at least 1."""
    hardware: Hardware = "h100"
    """Which GPU: see pipeline/planning/gpus.py for what is taken of each."""
    table_rows: tuple[int, ...] = ()
    """Rows of each table in the schema's order, in place of the schema's."""
    share_of_peak: float = 0.3
    """What products reach of the GPU's peak, above 0 to 1. An assumption: kernels of a few hundred columns reach
    less than the large ones that peaks are measured with."""
    launch_us: float = 5.0
    """Microseconds that the host takes to launch a kernel, at least 0. An assumption: an operator of eager PyTorch
    takes 5 to 10; a captured CUDA graph less than 1."""
    page: str = "plan.html"
    """File to write the page to; empty: no page."""

    def __post_init__(self) -> None:
        if not self.world_size or min(self.world_size) < 1:
            raise ValueError(f"world_size is {self.world_size}; give numbers of GPUs of at least 1")
        if self.local_world_size < 1:
            raise ValueError(f"local_world_size is {self.local_world_size}; it must be at least 1")
        if not 0 < self.share_of_peak <= 1:
            raise ValueError(f"share_of_peak is {self.share_of_peak}; it must be above 0 and at most 1")
        if self.launch_us < 0:
            raise ValueError(f"launch_us is {self.launch_us}; it must be at least 0")
