"""How long a step takes and how much memory a GPU needs under a plan: TorchRec's estimates, and the dense part's.

The tables' parts are those of TorchRec's planner (`torchrec.distributed.planner`), a rank's shards summed and the
slowest rank taken, since ranks meet after each part. The dense part's products are its multiply-accumulates at a share
of the GPU's peak, or its kernels at the rate at which the host launches them where that takes longer; its gradients are
a ring all-reduce. The latencies of messages are not counted: the estimate is a lower bound.
"""

from collections.abc import Callable
from dataclasses import dataclass

from modules.cluster import Cluster
from modules.table_plan import BYTES_PER_NUMBER, CACHED_SHARE, FUSED, PlannedShard, TablePlan
from pipeline.planning.dense_part import DensePart

PARTS: dict[str, str] = {
    "lookup": "look rows up",
    "vectors": "send vectors",
    "dense": "dense forward and backward",
    "launches": "wait for kernels to be launched",
    "gradients": "send vectors' gradients",
    "update": "update rows",
    "all_reduce": "all-reduce dense gradients",
    "beside": "ids and cached rows that the dense part does not hide",
}
"""The parts of a step in their order, in words. The next step's ids are exchanged, and its rows fetched into caches,
while the dense part computes, so of these only what takes longer counts."""

BOUND_BY: dict[str, str] = {
    "lookup": "the GPU's memory",
    "vectors": "the links between GPUs",
    "dense": "products",
    "launches": "the host, which launches a kernel at a time",
    "gradients": "the links between GPUs",
    "update": "the GPU's memory",
    "all_reduce": "the links between GPUs",
    "beside": "the links between GPUs and to the host",
}
"""What makes each part as long as it is."""

FORWARD_AND_BACKWARD = 3
"""Products of a step over those of its forward: the backward has two for each, by the inputs and by the weights."""


@dataclass(frozen=True)
class Memory:
    """What one GPU holds, bytes."""

    tables: int
    """Rows of tables, or the cache of those in host memory."""
    optimizer: int
    """Row-wise Adagrad's number a row."""
    buffers: int
    """Ids and vectors on their way, as TorchRec estimates them."""
    dense: int
    """The supernet's weights, their optimizer's states and gradients."""
    activations: int
    """Kept for the backward."""
    host: int
    """In the host's memory: rows of cached tables."""

    @property
    def total(self) -> int:
        """On the device."""
        return self.tables + self.optimizer + self.buffers + self.dense + self.activations


@dataclass(frozen=True)
class Estimate:
    """A run's step under a plan."""

    plan: TablePlan
    """Where the tables are."""
    batch_size: int
    """Rows of a step on all ranks."""
    memory: Memory
    """Of the fullest rank."""
    fullest_rank: int
    """Which that is."""
    parts_ms: dict[str, float]
    """Milliseconds of each of PARTS."""
    all_reduce_bytes: float
    """What a step's dense gradients take."""
    slowest_table: str
    """The table whose shards take longest, of those of the slowest rank."""

    @property
    def step_ms(self) -> float:
        """Of all parts."""
        return sum(self.parts_ms.values())

    @property
    def rows_per_s(self) -> float:
        """Of all ranks together."""
        return 1e3 * self.batch_size / self.step_ms

    @property
    def bottleneck(self) -> str:
        """The longest part, one of PARTS."""
        return max(self.parts_ms, key=lambda part: self.parts_ms[part])

    @property
    def fits(self) -> bool:
        """Whether dense part and activations, for which the planner left a share, fit beside the tables."""
        return self.memory.total <= self.plan.request.cluster.device_bytes


def estimate(plan: TablePlan, dense: DensePart, batch_size: int, flops_per_s: float, launch_us: float) -> Estimate:
    """What a step of `batch_size` rows, on all ranks together, takes.

    `flops_per_s`: what a GPU reaches in products. `launch_us`: microseconds that the host takes to launch a kernel.
    """
    cluster, own_rows = plan.request.cluster, plan.request.batch_size
    sent = BYTES_PER_NUMBER * dense.active_weights
    dense_ms = 1e3 * 2 * FORWARD_AND_BACKWARD * dense.multiply_accumulates * own_rows / flops_per_s
    launches_ms = launch_us * dense.launches / 1e3
    sends = cluster.world_size > 1  # TorchRec's estimator lets a rank send to itself
    hidden_ms = _slowest(plan, lambda shard: sends * shard.ids_ms + shard.prefetch_ms)
    parts_ms = {
        "lookup": _slowest(plan, lambda shard: shard.lookup_ms),
        "vectors": _slowest(plan, lambda shard: sends * shard.vectors_ms),
        "dense": dense_ms,
        "launches": max(0.0, launches_ms - dense_ms),
        "gradients": _slowest(plan, lambda shard: sends * shard.gradients_ms),
        "update": _slowest(plan, lambda shard: shard.update_ms),
        "all_reduce": 1e3 * ring_all_reduce_s(sent, cluster),
        "beside": max(0.0, hidden_ms - max(dense_ms, launches_ms)),
    }
    fullest, memory = _memory(plan, dense, own_rows)
    return Estimate(plan, batch_size, memory, fullest, parts_ms, sent, _slowest_table(plan))


def ring_all_reduce_s(sent_bytes: float, cluster: Cluster) -> float:
    """Seconds of an all-reduce of S bytes over N ranks: 2 (N - 1) / N · S / b, by the ring algorithm.

    On one node b is a GPU's bandwidth to the others. Over nodes there is a ring for each GPU of a node, each through an
    adapter of its own, so b is that of a node's adapters together, if that is less. (Patarasuk and Yuan, 2009; NCCL's
    rings.)

    >>> two = Cluster(2, 2, "cuda", 0, 0, intra_node_bytes_per_s=100e9)
    >>> ring_all_reduce_s(1e9, two)
    0.01
    """
    ranks, within = cluster.world_size, cluster.intra_node_bytes_per_s
    across = cluster.inter_node_bytes_per_s * cluster.local_world_size
    return 2 * (ranks - 1) / ranks * sent_bytes / (within if cluster.nodes == 1 else min(within, across))


def _slowest(plan: TablePlan, of: Callable[[PlannedShard], float]) -> float:
    """Of the rank that takes longest over its shards."""
    return max(_by_rank(plan, of))


def _by_rank(plan: TablePlan, of: Callable[[PlannedShard], float]) -> list[float]:
    found = [0.0] * plan.request.cluster.world_size
    for table in plan.tables:
        for shard in table.shards:
            found[shard.rank] += of(shard)
    return found


def total_ms(shard: PlannedShard) -> float:
    """All that a shard takes, but what is done beside the dense part."""
    return shard.lookup_ms + shard.vectors_ms + shard.gradients_ms + shard.update_ms


def _slowest_table(plan: TablePlan) -> str:
    by_rank = _by_rank(plan, total_ms)
    slowest = by_rank.index(max(by_rank))
    return max(plan.tables, key=lambda table: sum(total_ms(s) for s in table.shards if s.rank == slowest)).name


def _memory(plan: TablePlan, dense: DensePart, own_rows: int) -> tuple[int, Memory]:
    """The fullest rank and what it holds."""
    held = plan.rank_bytes()
    fullest = max(range(len(held)), key=lambda rank: held[rank])
    widths = {table.name: table.width for table in plan.request.tables}
    tables = optimizer = 0
    for table in plan.tables:
        rows = sum(shard.rows for shard in table.shards if shard.rank == fullest)
        share = 1.0 if table.kernel == FUSED else CACHED_SHARE
        tables += round(share * BYTES_PER_NUMBER * widths[table.name] * rows)
        optimizer += BYTES_PER_NUMBER * rows if table.kernel == FUSED else 0
    device, host = held[fullest]
    memory = Memory(
        tables=tables,
        optimizer=optimizer,
        buffers=max(0, device - tables - optimizer),
        dense=dense.bytes,
        activations=dense.activation_bytes(own_rows),
        host=host,
    )
    return fullest, memory
