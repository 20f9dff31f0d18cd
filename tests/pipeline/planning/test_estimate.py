"""pipeline/planning/estimate.py: parts of a step and of memory, from TorchRec's shards and by hand."""

import dataclasses

import pytest
from torchrec import EmbeddingBagConfig

from modules.table_plan import CACHED, TablePlan, plan_request, plan_tables
from pipeline.planning.dense_part import DensePart
from pipeline.planning.estimate import PARTS, estimate, ring_all_reduce_s, total_ms
from pipeline.planning.gpus import GPUS, Hardware

DENSE = DensePart(1_000_000, 1, 50_000.0, 80_000, 20_000.0, 100_000.0, 400.0)
TABLES = [
    EmbeddingBagConfig(name=f"t_{number}", feature_names=[f"{number}"], num_embeddings=rows, embedding_dim=64)
    for number, rows in enumerate((40_000_000, 9_000_000, 1_000_000, 1_000))
]


def plan(hardware: Hardware, ranks: int, batch_size: int = 16_384) -> TablePlan:
    """Of four tables."""
    return plan_tables(plan_request(TABLES, GPUS[hardware].cluster(ranks, 8), batch_size // ranks))


def test_parts_are_the_slowest_ranks() -> None:
    """Each of the tables' parts is the largest sum over a rank's shards; the step is all of them."""
    own = plan("a100_80", 8)
    found = estimate(own, DENSE, 16_384, 1e14, 5.0)
    sums = [sum(shard.vectors_ms for t in own.tables for shard in t.shards if shard.rank == rank) for rank in range(8)]
    assert found.parts_ms["vectors"] == pytest.approx(max(sums)) and max(sums) > 0
    assert list(found.parts_ms) == list(PARTS)
    assert found.step_ms == pytest.approx(sum(found.parts_ms.values()))
    assert found.rows_per_s == pytest.approx(16_384 / found.step_ms * 1e3)
    assert found.parts_ms[found.bottleneck] == max(found.parts_ms.values())
    slow = next(table for table in own.tables if table.name == found.slowest_table)
    assert max(total_ms(shard) for shard in slow.shards) > 0


def test_products_or_launches() -> None:
    """The dense part takes its products, and longer where the host launches its kernels more slowly."""
    own = plan("h100", 8)
    products_ms = 1e3 * 6 * 100_000 * 2048 / 1e12
    slow, fast = (estimate(own, DENSE, 16_384, 1e12, launch_us) for launch_us in (10.0, 0.0))
    assert slow.parts_ms["dense"] == fast.parts_ms["dense"] == pytest.approx(products_ms)
    assert fast.parts_ms["launches"] == 0
    assert slow.parts_ms["launches"] == pytest.approx(4.0 - products_ms)
    assert slow.bottleneck == "launches"


def test_one_gpu_sends_nothing() -> None:
    """Alone there are neither messages nor an all-reduce."""
    found = estimate(plan("h200", 1), DENSE, 16_384, 1e14, 0.0)
    assert [found.parts_ms[part] for part in ("vectors", "gradients", "all_reduce")] == [0, 0, 0]
    assert found.parts_ms["lookup"] > 0


def test_ring() -> None:
    """Within a node by the GPU's links; over nodes by the node's adapters together, where they are the slower."""
    one, two = GPUS["h100"].cluster(8, 8), GPUS["h100"].cluster(16, 8)
    assert ring_all_reduce_s(8e9, one) == pytest.approx(2 * 7 / 8 * 8e9 / 450e9)
    assert ring_all_reduce_s(8e9, two) == pytest.approx(2 * 15 / 16 * 8e9 / 400e9)
    narrow = dataclasses.replace(two, local_world_size=1)
    assert ring_all_reduce_s(8e9, narrow) == pytest.approx(2 * 15 / 16 * 8e9 / 50e9)


def test_memory_of_the_fullest_rank() -> None:
    """Tables and optimizer are the shards' own numbers; buffers are the rest of TorchRec's; the dense part is added."""
    own = plan("h100", 8)
    found = estimate(own, DENSE, 16_384, 1e14, 5.0)
    rows = sum(s.rows for table in own.tables for s in table.shards if s.rank == found.fullest_rank)
    memory = found.memory
    assert (memory.tables, memory.optimizer) == (4 * 64 * rows, 4 * rows)
    assert memory.tables + memory.optimizer + memory.buffers == own.rank_bytes()[found.fullest_rank][0]
    assert memory.dense == DENSE.bytes and memory.activations == 2048 * 20_000 and memory.host == 0
    assert found.fits
    assert not estimate(own, dataclasses.replace(DENSE, kept_bytes_a_row=5e7), 16_384, 1e14, 5.0).fits


def test_cached_tables() -> None:
    """Rows of a table that does not fit are the host's, a fifth of them cached on the GPU."""
    huge = [EmbeddingBagConfig(name="t", feature_names=["u"], num_embeddings=200_000_000, embedding_dim=64)]
    own = plan_tables(plan_request(huge, GPUS["a100_40"].cluster(1, 8), 1024))
    found = estimate(own, DENSE, 1024, 1e14, 5.0)
    assert own.tables[0].kernel == CACHED
    assert found.memory.tables == round(0.2 * 4 * 64 * 200e6) and found.memory.host >= 4 * 64 * 200e6


@pytest.mark.parametrize("hardware", GPUS)
def test_gpus(hardware: Hardware) -> None:
    """Every GPU is a cluster, more precise products are slower, and its figures name their source."""
    gpu = GPUS[hardware]
    cluster = gpu.cluster(4, 8)
    assert (cluster.world_size, cluster.local_world_size, cluster.device_bytes) == (4, 4, gpu.memory_bytes)
    assert gpu.flops["float32"] < gpu.flops["tf32"] < gpu.flops["bf16"]
    assert gpu.inter_node_bytes_per_s < gpu.intra_node_bytes_per_s < gpu.memory_bytes_per_s
    assert "NVIDIA" in gpu.source
