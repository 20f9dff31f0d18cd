"""Embedding tables on TorchRec: planned, sharded, updated by a fused optimizer, and filled the same on any ranks.

B batch, F fields, D embedding width, W numbers that a row looks up: F · D where all tables are as wide.
"""

import zlib
from collections.abc import Sequence

import torch
from fbgemm_gpu.split_table_batched_embeddings_ops_training import SplitTableBatchedEmbeddingBagsCodegen
from torch import Tensor, distributed, nn
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torch.distributed.optim import _apply_optimizer_in_backward as apply_optimizer_in_backward
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor, KeyedTensor
from torchrec.distributed import DistributedModelParallel
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.optim import RowWiseAdagrad

from modules.cluster import this_cluster
from modules.table_plan import BYTES_PER_NUMBER as BYTES_PER_NUMBER
from modules.table_plan import TablePlan, plan_request, plan_tables

SEEDS_BETWEEN_FILLINGS = 1_000_003
"""How far apart the seeds of a table's fillings are, so that runs of neighbouring seeds share none."""

UNKNOWN_ROW = 1
"""Row of values that training did not meet, where a vocabulary numbers them. It begins at zero, the middle of what rows
begin with, since training may never reach it. (Where values are hashed it is a row like all others.)"""
ROWS_A_CHUNK = 65_536
"""Rows of a table filled from one seed, so that a shard can be filled without drawing the rows before it."""


def shard_embeddings(
    tables: Sequence[EmbeddingBagConfig],
    device: torch.device,
    batch_size: int,
    learning_rate: float,
    epsilon: float,
    seed: int,
    plan: TablePlan | None = None,
) -> DistributedModelParallel:
    """An EmbeddingBagCollection sharded over the process group by a plan, with fused row-wise Adagrad.

    Only the tables are under DistributedModelParallel: it would wrap the dense part in DDP, which reduces every
    parameter each step, and a supernet's step touches few. `batch_size` is a rank's, for the planner's estimates.
    `plan`: one that was made for these tables and this cluster; by default rank 0 makes one. The tables are never
    whole in one place; their contents depend on `seed` alone, not on the number of ranks. Raises ValueError, on every
    rank, when the tables do not fit.
    """
    collection = EmbeddingBagCollection(device=torch.device("meta"), tables=list(tables))
    apply_optimizer_in_backward(RowWiseAdagrad, collection.parameters(), {"lr": learning_rate, "eps": epsilon})
    plan = plan or _planned_by_first(tables, device, batch_size)
    sharded = DistributedModelParallel(
        collection,
        device=device,
        plan=plan.sharding_plan(),
        sharders=[EmbeddingBagCollectionSharder()],  # type: ignore[list-item]
        init_data_parallel=False,
        init_parameters=False,
    )
    fill_tables(sharded, seed)
    return sharded


def _planned_by_first(tables: Sequence[EmbeddingBagConfig], device: torch.device, batch_size: int) -> TablePlan:
    """Rank 0's plan, on every rank; so is the ValueError where there is none."""
    outcome: list[TablePlan | ValueError | None] = [None]
    if distributed.get_rank() == 0:
        try:
            outcome[0] = plan_tables(
                plan_request(tables, this_cluster(device, distributed.get_world_size()), batch_size)
            )
        except ValueError as error:
            outcome[0] = error
    distributed.broadcast_object_list(outcome, src=0)
    if isinstance(outcome[0], ValueError):
        raise outcome[0]
    assert outcome[0] is not None, "rank 0 plans or raises"
    return outcome[0]


@torch.no_grad()
def fill_tables(sharded: nn.Module, seed: int) -> None:
    """Draw every local shard's rows: uniform in ±1/√D, a function of (seed, table name, row, column) alone; the row of
    unknown values is zero."""
    for name, table in sharded.state_dict().items():
        shards = (
            [(shard.tensor, shard.metadata.shard_offsets) for shard in table.local_shards()]
            if isinstance(table, ShardedTensor)
            else [(table, [0, 0])]
        )
        for tensor, (row, column) in shards:
            _fill_shard(tensor, name, row, column, table.shape[1], seed)
    forget_cached_rows(sharded)


def forget_cached_rows(sharded: nn.Module) -> None:
    """Empty the caches of tables whose rows are in host memory, after those were written behind the caches' backs."""
    for lookup in cached_lookups(sharded):
        lookup.reset_cache_states()


def cached_lookups(sharded: nn.Module) -> list[SplitTableBatchedEmbeddingBagsCodegen]:
    """FBGEMM's lookups that cache rows on the device; none where every table is in the device's own memory."""
    lookups = [module for module in sharded.modules() if isinstance(module, SplitTableBatchedEmbeddingBagsCodegen)]
    return [lookup for lookup in lookups if lookup.lxu_cache_weights.numel()]


def _fill_shard(tensor: Tensor, name: str, first_row: int, first_column: int, width: int, seed: int) -> None:
    last_row = first_row + tensor.shape[0]
    for chunk in range(first_row // ROWS_A_CHUNK, -(-last_row // ROWS_A_CHUNK)):
        chunk_seed = zlib.crc32(f"{seed} {name} {chunk}".encode())
        generator = torch.Generator().manual_seed(chunk_seed)
        start = max(first_row, chunk * ROWS_A_CHUNK)
        stop = min(last_row, (chunk + 1) * ROWS_A_CHUNK)
        # numbers are drawn one after the other, so those of a chunk's first rows do not depend on how many are drawn
        rows = torch.empty(stop - chunk * ROWS_A_CHUNK, width)
        rows.uniform_(-(width**-0.5), width**-0.5, generator=generator)
        part = rows[start - chunk * ROWS_A_CHUNK : stop - chunk * ROWS_A_CHUNK]
        tensor[start - first_row : stop - first_row] = part[:, first_column : first_column + tensor.shape[1]].to(tensor)
    if first_row <= UNKNOWN_ROW < last_row:
        tensor[UNKNOWN_ROW - first_row] = 0.0


def draw_tables_anew(sharded: nn.Module, seed: int, times: int) -> None:
    """Draw every local shard's rows anew, for the `times`-th time; 0 is the first filling."""
    fill_tables(sharded, seed + times * SEEDS_BETWEEN_FILLINGS)


def set_learning_rate(embeddings: DistributedModelParallel, learning_rate: float) -> None:
    """Set the fused optimizer's learning rate for the next backward."""
    optimizer = embeddings.fused_optimizer
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()  # hands the rate to the tables; their update itself happens in backward


def embed(embeddings: nn.Module, sparse: KeyedJaggedTensor) -> Tensor:
    """Look the ids up: [B, F, D], fields in the order of the batch's keys. A collective when sharded.

    Tables of unequal widths give their rows side by side, [B, W] with W the sum of the widths.
    """
    pooled = embeddings(sparse)
    keyed: KeyedTensor = pooled.wait() if hasattr(pooled, "wait") else pooled
    fields = sparse.keys()
    if len(set(keyed.length_per_key())) > 1:
        return keyed.values() if keyed.keys() == fields else torch.cat([keyed[field] for field in fields], dim=1)
    if keyed.keys() == fields:
        return keyed.values().view(sparse.stride(), len(fields), -1)
    return torch.stack([keyed[field] for field in fields], dim=1)
