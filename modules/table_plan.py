"""Which rank holds which rows of each embedding table: planned by TorchRec, kept as plain values.

A plan is a function of the tables, the cluster and the rows of a step. It can be made without GPUs and without a
process group, written as JSON, and read back without executing anything.
"""

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.distributed.optim import _apply_optimizer_in_backward as apply_optimizer_in_backward
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig
from torchrec.distributed.embedding_types import EmbeddingComputeKernel
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.planner import EmbeddingShardingPlanner, ParameterConstraints
from torchrec.distributed.planner.enumerators import EmbeddingEnumerator
from torchrec.distributed.planner.storage_reservations import FixedPercentageStorageReservation
from torchrec.distributed.planner.types import PlannerError, Shard, ShardingOption
from torchrec.distributed.sharding_plan import placement
from torchrec.distributed.types import (
    CacheParams,
    EmbeddingModuleShardingPlan,
    EnumerableShardingSpec,
    ParameterSharding,
    ShardingPlan,
    ShardingType,
    ShardMetadata,
)
from torchrec.optim import RowWiseAdagrad

from modules.cluster import RESERVED_SHARE, Cluster

SHARDINGS: dict[str, list[str]] = {
    "cpu": [ShardingType.TABLE_WISE.value],  # the only one TorchRec offers there
    "cuda": [ShardingType.TABLE_WISE.value, ShardingType.ROW_WISE.value, ShardingType.TABLE_ROW_WISE.value],
}
"""What the planner may choose from. Not data-parallel, whose tables have no fused optimizer, nor column-wise, where
row-wise Adagrad's state would depend on the number of shards."""

FUSED, CACHED = EmbeddingComputeKernel.FUSED.value, EmbeddingComputeKernel.FUSED_UVM_CACHING.value
"""Where a table's rows are: all in the device's memory, or in the host's with the rows in use cached on the device."""

KERNELS = {"cpu": [FUSED], "cuda": [FUSED, CACHED]}
"""What each device has, the faster first."""

CACHED_SHARE = 0.2
"""Rows of a cached table that its cache on the device has room for: FBGEMM's default `cache_load_factor`."""

BYTES_PER_NUMBER = 4
"""Tables are float32, and so is row-wise Adagrad's one number a row."""


@dataclass(frozen=True)
class Table:
    """One embedding table."""

    name: str
    """Its name."""
    rows: int
    """How many rows."""
    width: int
    """D, numbers a row."""

    @property
    def bytes(self) -> int:
        """Its weights and its optimizer's one number a row."""
        return BYTES_PER_NUMBER * self.rows * (self.width + 1)


@dataclass(frozen=True)
class Request:
    """All that a plan depends on: a plan stands for as long as this is the same."""

    tables: tuple[Table, ...]
    """The tables, in the order of the schema."""
    cluster: Cluster
    """The ranks."""
    batch_size: int
    """Rows of a step on one rank."""
    prefetched: bool
    """Whether the rows of the next step are fetched into the cache of a cached table beside the present step."""
    torchrec: str
    """Version of TorchRec, whose planner it is."""


@dataclass(frozen=True)
class PlannedShard:
    """Rows of a table on one rank, with what TorchRec estimates of them: a step's milliseconds, by what is done."""

    rank: int
    """Which rank."""
    first_row: int
    """Where they begin in the table."""
    rows: int
    """How many; 0 where a table has fewer rows than ranks."""
    device_bytes: int
    """Memory on the device: weights, optimizer state, cache, buffers of ids and vectors."""
    host_bytes: int
    """Memory in the host."""
    ids_ms: float
    """Sending the ids to it."""
    lookup_ms: float
    """Looking them up."""
    vectors_ms: float
    """Sending the vectors back."""
    gradients_ms: float
    """Sending their gradients to it."""
    update_ms: float
    """Updating its rows."""
    prefetch_ms: float
    """Fetching rows into its cache."""


@dataclass(frozen=True)
class PlannedTable:
    """How one table is sharded."""

    name: str
    """Which table."""
    sharding: str
    """TorchRec's sharding type: table_wise, row_wise or table_row_wise."""
    kernel: str
    """FUSED or CACHED."""
    shards: tuple[PlannedShard, ...]
    """Its rows, in their order."""


@dataclass(frozen=True)
class TablePlan:
    """A plan and what it was made for."""

    request: Request
    """What it was made for."""
    tables: tuple[PlannedTable, ...]
    """Every table, in the request's order."""

    def rank_bytes(self) -> list[tuple[int, int]]:
        """Device and host memory that each rank's shards take."""
        found = [[0, 0] for _ in range(self.request.cluster.world_size)]
        for table in self.tables:
            for shard in table.shards:
                found[shard.rank][0] += shard.device_bytes
                found[shard.rank][1] += shard.host_bytes
        return [(device, host) for device, host in found]

    @property
    def has_cached(self) -> bool:
        """Whether some table's rows are in host memory, cached on the device."""
        return any(table.kernel == CACHED for table in self.tables)

    def sharding_plan(self) -> ShardingPlan:
        """As TorchRec's DistributedModelParallel takes it, for a collection that is its whole model."""
        widths = {table.name: table.width for table in self.request.tables}
        return ShardingPlan({"": EmbeddingModuleShardingPlan({t.name: self._sharding(t, widths) for t in self.tables})})

    def _sharding(self, table: PlannedTable, widths: dict[str, int]) -> ParameterSharding:
        cluster = self.request.cluster
        shards = [
            ShardMetadata(
                shard_sizes=[shard.rows, widths[table.name]],
                shard_offsets=[shard.first_row, 0],
                placement=placement(cluster.device, shard.rank, cluster.local_world_size),
            )
            for shard in table.shards
        ]
        return ParameterSharding(
            sharding_type=table.sharding,
            compute_kernel=table.kernel,
            ranks=[shard.rank for shard in table.shards],
            sharding_spec=EnumerableShardingSpec(shards),
            # of all tables where one is cached: TorchRec complains of a mixture at each step
            cache_params=_cache(self.request) if self.has_cached else None,
        )

    @property
    def is_whole(self) -> bool:
        """Whether it is a plan at all: every row of every table of the request on exactly one rank that there is."""
        if [table.name for table in self.tables] != [table.name for table in self.request.tables]:
            return False
        device, ranks = self.request.cluster.device, range(self.request.cluster.world_size)
        for table, wanted in zip(self.tables, self.request.tables, strict=True):
            ends = [shard.first_row + shard.rows for shard in table.shards]
            known = table.sharding in SHARDINGS[device] and table.kernel in KERNELS[device]
            placed = all(shard.rank in ranks and shard.rows >= 0 for shard in table.shards)
            joined = [shard.first_row for shard in table.shards] == [0, *ends[:-1]]
            if not (known and placed and joined and ends[-1:] == [wanted.rows]):
                return False
        return True


def plan_request(
    tables: Sequence[EmbeddingBagConfig], cluster: Cluster, batch_size: int, prefetched: bool = True
) -> Request:
    """What a plan of these tables depends on."""
    sizes = tuple(Table(table.name, table.num_embeddings, table.embedding_dim) for table in tables)
    return Request(sizes, cluster, batch_size, prefetched, importlib.metadata.version("torchrec"))


def plan_tables(request: Request) -> TablePlan:
    """The plan that TorchRec estimates to be the fastest of those that fit; the same in every process.

    All rows are in the devices' memory where they fit; on CUDA, tables are otherwise cached as the planner chooses.
    Raises ValueError when they do not fit, with what they need and what there is.
    """
    kernels = KERNELS[request.cluster.device]
    for count in range(1, len(kernels) + 1):
        try:
            options = _planned(request, kernels[:count])
        except PlannerError:
            continue
        by_name = {option.name: option for option in options}
        return TablePlan(request, tuple(_table(by_name[table.name]) for table in request.tables))
    raise ValueError(_does_not_fit(request))


def _planned(request: Request, kernels: list[str]) -> list[ShardingOption]:
    """TorchRec's choice for each table. Raises PlannerError when nothing fits."""
    configs = [
        EmbeddingBagConfig(
            name=table.name, feature_names=[table.name], num_embeddings=table.rows, embedding_dim=table.width
        )
        for table in request.tables
    ]
    collection = EmbeddingBagCollection(device=torch.device("meta"), tables=configs)
    apply_optimizer_in_backward(RowWiseAdagrad, collection.parameters(), {"lr": 1.0})  # its state takes memory
    topology = request.cluster.topology()
    # not _cache(request): TorchRec takes rows that are fetched ahead to cost nothing, and would cache any table
    cache = CacheParams(load_factor=CACHED_SHARE) if CACHED in kernels else None
    shardings = SHARDINGS[request.cluster.device]
    constraints = {
        table.name: ParameterConstraints(sharding_types=shardings, compute_kernels=kernels, cache_params=cache)
        for table in request.tables
    }
    planner = EmbeddingShardingPlanner(
        topology=topology,
        batch_size=request.batch_size,
        enumerator=_OrderedEnumerator(topology, request.batch_size, constraints),
        constraints=constraints,
        storage_reservation=FixedPercentageStorageReservation(RESERVED_SHARE),
        stats=[],
    )
    planner.plan(collection, [EmbeddingBagCollectionSharder()])
    assert planner._best_plan is not None, "a plan that is not found is a PlannerError"
    return planner._best_plan


def _cache(request: Request) -> CacheParams:
    return CacheParams(load_factor=CACHED_SHARE, prefetch_pipeline=request.prefetched)


class _OrderedEnumerator(EmbeddingEnumerator):
    """TorchRec's, which goes through sets of texts: among equals its choice would differ from process to process."""

    def _filter_sharding_types(self, name: str, allowed_sharding_types: list[str], sharder_key: str = "") -> list[str]:
        return sorted(super()._filter_sharding_types(name, allowed_sharding_types, sharder_key))

    def _filter_compute_kernels(self, name: str, allowed_compute_kernels: list[str], sharding_type: str) -> list[str]:
        return sorted(super()._filter_compute_kernels(name, allowed_compute_kernels, sharding_type))


def _table(option: ShardingOption) -> PlannedTable:
    shards = tuple(_shard(shard) for shard in option.shards)
    return PlannedTable(option.name, option.sharding_type, option.compute_kernel, shards)


def _shard(shard: Shard) -> PlannedShard:
    assert shard.storage is not None and shard.perf is not None and shard.rank is not None, "planned"
    perf = shard.perf
    return PlannedShard(
        rank=shard.rank,
        first_row=shard.offset[0],
        rows=shard.size[0],
        device_bytes=int(shard.storage.hbm),
        host_bytes=int(shard.storage.ddr),
        ids_ms=float(perf.input_dist_comms),
        lookup_ms=float(perf.fwd_compute),
        vectors_ms=float(perf.fwd_comms),
        gradients_ms=float(perf.bwd_comms),
        update_ms=float(perf.bwd_compute),
        prefetch_ms=float(perf.prefetch_compute),
    )


def _does_not_fit(request: Request) -> str:
    cluster, largest = request.cluster, max(request.tables, key=lambda table: table.bytes)
    need, have = sum(table.bytes for table in request.tables), cluster.world_size * cluster.table_bytes
    where = "of its GPU" if cluster.device == "cuda" else "of host memory"
    text = (
        f"the embedding tables do not fit: {len(request.tables)} tables take {need / 1e9:,.1f} GB with their "
        f"optimizer's state (the largest, {largest.name}, {largest.bytes / 1e9:,.1f} GB: {largest.rows:,} rows of "
        f"width {largest.width}), and {cluster.world_size} rank(s) have {cluster.table_bytes / 1e9:,.1f} GB {where} "
        f"each for tables, {have / 1e9:,.1f} GB in all"
    )
    if cluster.device == "cuda":
        text += f", and {cluster.host_table_bytes / 1e9:,.1f} GB of host memory each"
    else:
        text += ", where a table is never split over ranks"
    return (
        f"{text}; use more processes, a narrower embedding_width, fewer rows (data.max_table_rows), or machines with "
        "more memory"
    )
