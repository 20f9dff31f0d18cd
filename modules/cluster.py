"""The ranks that share embedding tables, and what each has, as launcher and devices tell, or a data sheet."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torchrec.distributed.comm import get_local_size
from torchrec.distributed.planner import Topology

DeviceType = Literal["cpu", "cuda"]

RESERVED_SHARE = 0.25
"""Share of each rank's memory that the planner leaves to the dense part, its activations and the batches."""


@dataclass(frozen=True)
class Cluster:
    """The ranks that share the tables, and what each has."""

    world_size: int
    """Ranks, at least 1; one a GPU."""
    local_world_size: int
    """Ranks of a node; divides world_size. A table-row-wise table lies on the ranks of one node."""
    device: DeviceType
    """Where the tables are looked up."""
    device_bytes: int
    """Memory of a rank's GPU; 0 on CPU."""
    host_bytes: int
    """A rank's share of its node's memory."""
    device_bytes_per_s: float = 2.039e12
    """Bandwidth of a GPU's memory. The default is an A100 80GB's (NVIDIA A100 datasheet, 2021); it weighs lookups
    against messages and leaves the choice between shardings nearly unchanged within a factor of two."""
    intra_node_bytes_per_s: float = 300e9
    """A GPU to the others of its node, one direction (A100: NVLink 3, half of 600 GB/s)."""
    inter_node_bytes_per_s: float = 25e9
    """A GPU to other nodes, one direction (DGX A100: one 200 Gb/s adapter a GPU)."""
    host_to_device_bytes_per_s: float = 31.5e9
    """Between host and GPU, one direction (PCIe 4.0 x16)."""

    def __post_init__(self) -> None:
        if self.world_size < 1 or self.local_world_size < 1 or self.world_size % self.local_world_size:
            raise ValueError(
                f"{self.world_size} ranks on nodes of {self.local_world_size}: the number of ranks must be a multiple "
                "of those of a node, and both at least 1"
            )

    @property
    def nodes(self) -> int:
        """How many nodes."""
        return self.world_size // self.local_world_size

    @property
    def table_bytes(self) -> int:
        """What a rank has for tables: its device's memory (on CPU the host's) without the reserved share."""
        return int((1 - RESERVED_SHARE) * (self.device_bytes if self.device == "cuda" else self.host_bytes))

    @property
    def host_table_bytes(self) -> int:
        """What a rank has for tables in host memory."""
        return int((1 - RESERVED_SHARE) * self.host_bytes)

    def topology(self) -> Topology:
        """As TorchRec's planner reads it; its bandwidths are bytes a millisecond."""
        return Topology(
            world_size=self.world_size,
            local_world_size=self.local_world_size,
            compute_device=self.device,
            hbm_cap=self.device_bytes,
            ddr_cap=self.host_table_bytes,
            hbm_mem_bw=self.device_bytes_per_s / 1e3,
            hbm_to_ddr_mem_bw=self.host_to_device_bytes_per_s / 1e3,
            intra_host_bw=self.intra_node_bytes_per_s / 1e3,
            inter_host_bw=self.inter_node_bytes_per_s / 1e3,
        )


def this_cluster(device: torch.device, world_size: int) -> Cluster:
    """The cluster that this process is a rank of, as its launcher's environment and its own device say.

    The ranks of a node are those that TorchRec's sharded modules go by (`get_local_size`: LOCAL_WORLD_SIZE, or what
    MPI's launchers set in its place), so that a plan and the modules agree on what a node is. Every rank is taken to
    have what this one has.
    """
    local_world_size = get_local_size(world_size) if world_size > 1 else 1
    is_cuda = device.type == "cuda"
    return Cluster(
        world_size=world_size,
        local_world_size=local_world_size,
        device="cuda" if is_cuda else "cpu",
        device_bytes=torch.cuda.get_device_properties(device).total_memory if is_cuda else 0,
        host_bytes=_node_bytes() // local_world_size,
    )


def _node_bytes() -> int:
    """Memory that the processes of this node may use: the machine's, or the control group's where that is less."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit in (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        if limit.is_file() and (text := limit.read_text().strip()).isdigit():
            return min(physical, int(text))
    return physical
