"""GPUs that a run can be planned for, with what their makers say of them.

Bandwidths are of one direction, and peaks: what a program reaches is less. Memory is what the name says, in 10^9 bytes;
the driver reports a few percent more, of which the CUDA context takes about as much.
"""

from dataclasses import dataclass

from modules.cluster import Cluster
from pipeline.planning.config import GPUS_A_NODE, Hardware


@dataclass(frozen=True)
class Gpu:
    """One kind of GPU in its maker's node of eight."""

    title: str
    """What it is called."""
    memory_bytes: int
    """Its memory."""
    memory_bytes_per_s: float
    """Bandwidth of its memory."""
    intra_node_bytes_per_s: float
    """To the other GPUs of the node, one direction: half of what data sheets give for NVLink."""
    inter_node_bytes_per_s: float
    """To other nodes, one direction: one network adapter a GPU."""
    host_to_device_bytes_per_s: float
    """From the host's memory, one direction, PCIe x16."""
    node_host_bytes: int
    """Memory of a node's host."""
    flops: dict[str, float]
    """Peak floating-point operations a second by the precision of products, without sparsity."""
    source: str
    """Where the figures are from."""

    def cluster(self, world_size: int, local_world_size: int) -> Cluster:
        """So many of them, so many a node. Raises ValueError where they do not fill nodes."""
        return Cluster(
            world_size=world_size,
            local_world_size=min(local_world_size, world_size),
            device="cuda",
            device_bytes=self.memory_bytes,
            host_bytes=self.node_host_bytes // GPUS_A_NODE,
            device_bytes_per_s=self.memory_bytes_per_s,
            intra_node_bytes_per_s=self.intra_node_bytes_per_s,
            inter_node_bytes_per_s=self.inter_node_bytes_per_s,
            host_to_device_bytes_per_s=self.host_to_device_bytes_per_s,
        )


_A100_FLOPS = {"float32": 19.5e12, "tf32": 156e12, "bf16": 312e12}
_H100_FLOPS = {"float32": 66.9e12, "tf32": 494.7e12, "bf16": 989.4e12}

GPUS: dict[Hardware, Gpu] = {
    "a100_40": Gpu(
        title="A100 SXM 40 GB",
        memory_bytes=40 * 10**9,
        memory_bytes_per_s=1.555e12,
        intra_node_bytes_per_s=300e9,
        inter_node_bytes_per_s=25e9,
        host_to_device_bytes_per_s=31.5e9,
        node_host_bytes=10**12,
        flops=_A100_FLOPS,
        source="NVIDIA A100 datasheet (2021): HBM2 1,555 GB/s, NVLink 600 GB/s both directions, PCIe 4.0 x16; "
        "DGX A100 320 GB: eight 200 Gb/s ConnectX-6, 1 TB of host memory",
    ),
    "a100_80": Gpu(
        title="A100 SXM 80 GB",
        memory_bytes=80 * 10**9,
        memory_bytes_per_s=2.039e12,
        intra_node_bytes_per_s=300e9,
        inter_node_bytes_per_s=25e9,
        host_to_device_bytes_per_s=31.5e9,
        node_host_bytes=2 * 10**12,
        flops=_A100_FLOPS,
        source="NVIDIA A100 datasheet (2021): HBM2e 2,039 GB/s, NVLink 600 GB/s both directions, PCIe 4.0 x16; "
        "DGX A100 640 GB: eight 200 Gb/s ConnectX-7, 2 TB of host memory",
    ),
    "h100": Gpu(
        title="H100 SXM 80 GB",
        memory_bytes=80 * 10**9,
        memory_bytes_per_s=3.35e12,
        intra_node_bytes_per_s=450e9,
        inter_node_bytes_per_s=50e9,
        host_to_device_bytes_per_s=63e9,
        node_host_bytes=2 * 10**12,
        flops=_H100_FLOPS,
        source="NVIDIA H100 datasheet and architecture white paper (2022): HBM3 3.35 TB/s, NVLink 900 GB/s both "
        "directions, PCIe 5.0 x16; DGX H100: eight 400 Gb/s ConnectX-7, 2 TB of host memory",
    ),
    "h200": Gpu(
        title="H200 SXM 141 GB",
        memory_bytes=141 * 10**9,
        memory_bytes_per_s=4.8e12,
        intra_node_bytes_per_s=450e9,
        inter_node_bytes_per_s=50e9,
        host_to_device_bytes_per_s=63e9,
        node_host_bytes=2 * 10**12,
        flops=_H100_FLOPS,
        source="NVIDIA H200 datasheet (2024): HBM3e 4.8 TB/s, NVLink 900 GB/s both directions, PCIe 5.0 x16; DGX H200: "
        "eight 400 Gb/s ConnectX-7, 2 TB of host memory",
    ),
}
"""By the name that the command line takes."""
