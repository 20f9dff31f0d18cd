"""Plans of tables: what TorchRec's modules place on each rank is what is planned, and every rank has the memory."""

import dataclasses
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator

import pytest
import torch
from torch import distributed
from torch.testing._internal.distributed.fake_pg import FakeStore
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.types import ShardingEnv

from modules.cluster import Cluster, this_cluster
from modules.table_plan import CACHED, FUSED, TablePlan, plan_request, plan_tables
from pipeline.data.schema import Schema
from pipeline.run.records.codec import from_plain, to_plain

NODES = {"1 x 8": (8, 8), "2 x 8": (16, 8), "16 x 8": (128, 8)}


def terabyte(width: int) -> list[EmbeddingBagConfig]:
    """Criteo Terabyte's 26 tables."""
    schema = Schema.load("criteo_terabyte")
    return [
        EmbeddingBagConfig(name=table, feature_names=[column], num_embeddings=rows, embedding_dim=width)
        for table, column, rows in zip(schema.table_names, schema.categories, schema.table_sizes, strict=True)
    ]


def gpus(world_size: int, local_world_size: int, gigabytes: float = 80) -> Cluster:
    """Nodes of GPUs with so much memory each, and 200 GB of the host's."""
    return Cluster(world_size, local_world_size, "cuda", int(gigabytes * 1e9), int(200e9))


Plans = dict[tuple[str, int, int], TablePlan]
CASES = [(16, 80), (128, 80), (128, 16)]
"""Width of the vectors, and GB of a GPU: room for all, room for wide ones, and so little that tables are split."""


@pytest.fixture(scope="module")
def plans() -> Plans:
    """The Terabyte's plans for 1, 2 and 16 nodes."""
    return {
        (nodes, *case): plan_tables(plan_request(terabyte(case[0]), gpus(*ranks, case[1]), 16_384 // ranks[0]))
        for nodes, ranks in NODES.items()
        for case in CASES[: 2 if nodes == "16 x 8" else 3]  # so many ranks have room for all
    }


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """One rank of a group of many that never speaks to the others, started by a launcher on nodes of eight."""
    world_size, local_world_size = NODES[request.param]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(local_world_size))
    distributed.init_process_group("fake", rank=0, world_size=world_size, store=FakeStore())
    yield world_size, local_world_size
    distributed.destroy_process_group()


def placed(plan: TablePlan, width: int) -> dict[int, dict[str, int]]:
    """Rank → table → its rows there, as TorchRec's sharded modules say of themselves."""
    group = distributed.GroupMember.WORLD
    collection = EmbeddingBagCollection(device=torch.device("meta"), tables=terabyte(width))
    sharded = EmbeddingBagCollectionSharder().shard(
        collection, plan.sharding_plan().plan[""], ShardingEnv.from_process_group(group), torch.device("meta")
    )
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for sharding in sharded._embedding_shardings:
        for rank, groups in enumerate(sharding._grouped_embedding_configs_per_rank):
            for table in (table for one in groups for table in one.embedding_tables):
                found[rank][table.name] = found[rank].get(table.name, 0) + table.local_rows
    return found


@pytest.mark.parametrize("alone", NODES, indirect=True)
@pytest.mark.parametrize(("width", "gigabytes"), CASES)
@pytest.mark.slow
def test_the_modules_place_what_is_planned(
    plans: Plans, alone: tuple[int, int], width: int, gigabytes: int, request: pytest.FixtureRequest
) -> None:
    """Shard by shard: TorchRec's own modules, told by LOCAL_WORLD_SIZE what a node is, hold the rows of the plan."""
    nodes = request.node.callspec.params["alone"]
    plan = plans.get((nodes, width, gigabytes)) or plans[nodes, width, 80]
    cluster = this_cluster(torch.device("cpu"), alone[0])
    assert (cluster.world_size, cluster.local_world_size) == alone
    found = placed(plan, width)
    for table in plan.tables:
        for shard in table.shards:
            assert found[shard.rank].get(table.name, 0) == shard.rows, (table, shard)
        assert sum(rank.get(table.name, 0) for rank in found.values()) == sum(shard.rows for shard in table.shards)


@pytest.mark.parametrize("alone", ["2 x 8"], indirect=True)
def test_a_plan_for_other_nodes_is_placed_otherwise(alone: tuple[int, int]) -> None:
    """A plan that takes two nodes of eight for one of sixteen is not what the modules place: the test can tell."""
    plan = plan_tables(plan_request(terabyte(128), gpus(16, 16, 8), 1024))
    assert any(table.sharding == "table_row_wise" for table in plan.tables)
    with pytest.raises((AssertionError, IndexError)):
        found = placed(plan, 128)
        for table in plan.tables:
            for shard in table.shards:
                assert found[shard.rank].get(table.name, 0) == shard.rows


@pytest.mark.slow
def test_every_row_once_and_no_rank_above_its_memory(plans: Plans) -> None:
    """Shards partition each table; a table-row-wise one lies on one node; no rank holds more than it has."""
    kinds: set[str] = set()
    for (nodes, _, _), plan in plans.items():
        assert plan.is_whole
        local = NODES[nodes][1]
        assert max(device for device, _ in plan.rank_bytes()) <= plan.request.cluster.table_bytes
        kinds |= {table.sharding for table in plan.tables}
        assert {table.kernel for table in plan.tables} == {FUSED}
        for table in plan.tables:
            ranks = [shard.rank for shard in table.shards]
            if table.sharding == "table_row_wise":
                assert len(ranks) == local and len({rank // local for rank in ranks}) == 1
    assert kinds == {"table_wise", "table_row_wise", "row_wise"}


@pytest.mark.slow
def test_golden_summary(plans: Plans) -> None:
    """What the planner of the pinned TorchRec chooses for the Terabyte; a new version may choose otherwise."""
    summary = {}
    for key, plan in plans.items():
        kinds = [table.sharding for table in plan.tables]
        fullest = max(device for device, _ in plan.rank_bytes())
        summary[key] = ({kind: kinds.count(kind) for kind in sorted(set(kinds))}, fullest)
    assert summary == GOLDEN


GOLDEN = {
    ("1 x 8", 16, 80): ({"table_wise": 26}, 3_336_324_668),
    ("1 x 8", 128, 80): ({"table_wise": 26}, 25_315_089_532),
    ("1 x 8", 128, 16): ({"row_wise": 2, "table_row_wise": 4, "table_wise": 20}, 11_737_995_600),
    ("2 x 8", 16, 80): ({"table_wise": 26}, 3_330_786_508),
    ("2 x 8", 128, 80): ({"table_wise": 26}, 25_273_928_204),
    ("2 x 8", 128, 16): ({"table_row_wise": 5, "table_wise": 21}, 6_511_393_288),
    ("16 x 8", 16, 80): ({"table_row_wise": 26}, 418_183_432),
    ("16 x 8", 128, 80): ({"table_row_wise": 26}, 3_173_921_928),
}
"""Tables by sharding, and the bytes of the fullest rank."""


@pytest.mark.slow
def test_the_same_plan_in_every_process() -> None:
    """A plan does not depend on the process's seed of hash(str), which orders sets."""
    program = (
        "from tests.modules.test_table_plan import gpus, plan_request, plan_tables, terabyte\n"
        "print(plan_tables(plan_request(terabyte(128), gpus(8, 8, 16), 2048)))"
    )
    run = [sys.executable, "-W", "ignore", "-c", program]
    said = subprocess.run(run, env=os.environ | {"PYTHONHASHSEED": "1"}, capture_output=True, text=True).stdout
    assert said.strip() == str(plan_tables(plan_request(terabyte(128), gpus(8, 8, 16), 2048)))


def test_tables_beyond_the_gpus_are_cached() -> None:
    """Where the GPUs hold the tables none is cached; where only the hosts do, some are, and their rows are there."""
    large = plan_tables(plan_request(terabyte(128), gpus(8, 8, 80), 2048))
    small = plan_tables(plan_request(terabyte(128), gpus(8, 8, 10), 2048))
    assert not large.has_cached and small.has_cached
    assert max(device for device, _ in small.rank_bytes()) <= small.request.cluster.table_bytes
    cached = {table.name for table in small.tables if table.kernel == CACHED}
    weights = sum(4 * 128 * t.rows for t in small.request.tables if t.name in cached)
    assert sum(host for _, host in small.rank_bytes()) >= weights
    for sharding in small.sharding_plan().plan[""].values():
        assert sharding.cache_params.prefetch_pipeline is True
    assert all(sharding.cache_params is None for sharding in large.sharding_plan().plan[""].values())


def test_tables_that_do_not_fit() -> None:
    """One line: how many bytes, the largest table, what a rank has, and what to do; on CPU too."""
    host = dataclasses.replace(gpus(8, 8, 2), host_bytes=int(4e9))
    with pytest.raises(
        ValueError, match=r"26 tables take 91\.\d GB .*largest, t_cat_19, 25\.\d GB.*more processes"
    ) as one:
        plan_tables(plan_request(terabyte(128), host, 2048))
    assert "\n" not in str(one.value) and "1.5 GB of its GPU each" in str(one.value)
    with pytest.raises(ValueError, match="never split over ranks; use more processes"):
        plan_tables(plan_request(terabyte(128), Cluster(2, 2, "cpu", 0, int(10e9)), 2048))


def test_a_plan_is_a_record() -> None:
    """As JSON and back it is the same; one whose rows are not each on one rank is seen to be none."""
    plan = plan_tables(plan_request(terabyte(16), Cluster(2, 2, "cpu", 0, int(64e9)), 512))
    assert from_plain(to_plain(plan), TablePlan, "here") == plan and plan.is_whole
    table, *others = plan.tables
    (shard,) = table.shards
    for wrong in (
        dataclasses.replace(shard, rank=2),
        dataclasses.replace(shard, rows=shard.rows - 1),
        dataclasses.replace(shard, first_row=1),
    ):
        changed = dataclasses.replace(table, shards=(wrong,))
        assert not dataclasses.replace(plan, tables=(changed, *others)).is_whole
    assert not dataclasses.replace(plan, tables=tuple(others)).is_whole
