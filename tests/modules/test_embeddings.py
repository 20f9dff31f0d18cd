"""Sharded tables: the same contents and updates on any number of ranks, FBGEMM's optimizer against its formula."""

import dataclasses
import json
import subprocess
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import embedding
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor, PoolingType
from torchrec.distributed import DistributedModelParallel

from modules.embeddings import ROWS_A_CHUNK, UNKNOWN_ROW, _fill_shard, embed, set_learning_rate, shard_embeddings
from pipeline.data.formats.prepared import OUT_OF_VOCABULARY_ROW
from pipeline.run.processes import join

Ranks = Callable[..., list[subprocess.CompletedProcess[str]]]
ROWS = {"t_u": 30, "t_v": 7, "t_w": 50}
FIELDS = ["u", "v", "w"]
WIDTH = 4


UNEQUAL = {"t_u": 8, "t_v": 4, "t_w": 12}


def configs(widths: dict[str, int] | None = None) -> list[EmbeddingBagConfig]:
    """Three tables, one a field."""
    return [
        EmbeddingBagConfig(
            name=name,
            feature_names=[name[2:]],
            num_embeddings=rows,
            embedding_dim=WIDTH if widths is None else widths[name],
        )
        for name, rows in ROWS.items()
    ]


@pytest.fixture
def sharded() -> Iterator[DistributedModelParallel]:
    """The tables on a group of one."""
    with join("cpu") as processes:
        yield shard_embeddings(configs(), processes.device, 8, learning_rate=0.1, epsilon=1e-8, seed=5)


@pytest.fixture
def unequal() -> Iterator[DistributedModelParallel]:
    """Tables of unequal widths on a group of one."""
    with join("cpu") as processes:
        yield shard_embeddings(configs(UNEQUAL), processes.device, 8, learning_rate=0.1, epsilon=1e-8, seed=5)


def whole_tables(sharded: DistributedModelParallel) -> dict[str, Tensor]:
    """Copies of the tables of a group of one."""
    return {name.split(".")[-2]: table.local_shards()[0].tensor.clone() for name, table in sharded.state_dict().items()}


def ids_of(fields: list[str], rows: int) -> tuple[Tensor, KeyedJaggedTensor]:
    """Ids [B, F] in the order given, with repetitions, and as a batch."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.stack([torch.randint(ROWS[f"t_{field}"], (rows,), generator=generator) for field in fields], dim=1)
    return ids, KeyedJaggedTensor(fields, ids.t().reshape(-1), lengths=torch.ones(ids.numel(), dtype=torch.int32))


def test_contents_are_uniform_within_bounds(sharded: DistributedModelParallel) -> None:
    """Every table lies in ±1/√D, spread over it, and no two tables begin alike."""
    tables = whole_tables(sharded)
    assert {name: len(table) for name, table in tables.items()} == ROWS
    for table in tables.values():
        assert table.abs().max() <= WIDTH**-0.5
        assert table.std() == pytest.approx(WIDTH**-0.5 / 3**0.5, rel=0.3)
    assert not torch.equal(tables["t_u"][:7], tables["t_v"])


@pytest.mark.parametrize("order", [["u", "v", "w"], ["w", "u", "v"]])
def test_embed_gives_table_rows_in_the_batch_order(sharded: DistributedModelParallel, order: list[str]) -> None:
    """[B, F, D] whose field f is the row of field f's table, in the order of the batch's keys, sharded or not."""
    ids, sparse = ids_of(order, 9)
    tables = whole_tables(sharded)
    expected = torch.stack([tables[f"t_{field}"][ids[:, place]] for place, field in enumerate(order)], dim=1)
    torch.testing.assert_close(embed(sharded, sparse), expected, rtol=0, atol=0)
    plain = EmbeddingBagCollection(tables=configs())
    plain.load_state_dict({f"embedding_bags.{name}.weight": table for name, table in tables.items()})
    torch.testing.assert_close(embed(plain, sparse), expected, rtol=0, atol=0)


@pytest.mark.parametrize("order", [["u", "v", "w"], ["w", "u", "v"]])
def test_tables_of_unequal_widths(unequal: DistributedModelParallel, order: list[str]) -> None:
    """Each is exactly as wide as asked for; their rows come side by side in the order of the batch's keys, and a step
    is row-wise Adagrad's, the mean of g² over the table's own width."""
    ids, sparse = ids_of(order, 9)
    tables = whole_tables(unequal)
    assert {name: table.shape[1] for name, table in tables.items()} == UNEQUAL
    expected = torch.cat([tables[f"t_{field}"][ids[:, place]] for place, field in enumerate(order)], dim=1)
    torch.testing.assert_close(embed(unequal, sparse), expected, rtol=0, atol=0)
    embed(unequal, sparse).square().sum().backward()
    for place, field in enumerate(order):
        leaf = tables[f"t_{field}"].double().requires_grad_()
        embedding(ids[:, place], leaf).square().sum().backward()
        assert leaf.grad is not None
        moved = leaf.detach() - 0.1 * leaf.grad / (leaf.grad.square().mean(1, keepdim=True).sqrt() + 1e-8)
        torch.testing.assert_close(whole_tables(unequal)[f"t_{field}"].double(), moved, rtol=1e-5, atol=1e-6)


def test_backward_is_row_wise_adagrad(sharded: DistributedModelParallel) -> None:
    """Three steps at changing learning rates, ids repeated in a batch: w −= η g / (√s + ε), s += mean of g² a row."""
    tables = {name: table.double() for name, table in whole_tables(sharded).items()}
    squares = {name: torch.zeros(rows, dtype=torch.float64) for name, rows in ROWS.items()}
    ids, sparse = ids_of(FIELDS, 64)
    weights = torch.randn(64, 3, WIDTH, generator=torch.Generator().manual_seed(2))
    for rate in (0.3, 0.0, 0.01):
        set_learning_rate(sharded, rate)
        (embed(sharded, sparse) * weights).square().sum().backward()
        for place, (name, table) in enumerate(tables.items()):
            leaf = table.clone().requires_grad_()
            (embedding(ids[:, place], leaf) * weights[:, place].double()).square().sum().backward()
            assert leaf.grad is not None
            squares[name] += leaf.grad.square().mean(1)
            table -= rate * leaf.grad / (squares[name].sqrt()[:, None] + 1e-8)
    for name, table in whole_tables(sharded).items():
        torch.testing.assert_close(table.double(), tables[name], rtol=1e-5, atol=1e-6)


@given(st.data())
@pytest.mark.slow
def test_a_shard_is_a_part_of_the_whole(data: st.DataObject) -> None:
    """Any rectangle of a table of several chunks is filled as in the whole table."""
    rows, width = 2 * ROWS_A_CHUNK + 10, 3
    first = data.draw(st.integers(ROWS_A_CHUNK - 3, rows - 1))
    last = data.draw(st.integers(first + 1, min(rows, first + ROWS_A_CHUNK)))
    left = data.draw(st.integers(0, width - 1))
    right = data.draw(st.integers(left + 1, width))
    part = torch.empty(last - first, right - left)
    _fill_shard(part, "t", first, left, width, seed=3)
    assert torch.equal(part, whole(rows, width)[first:last, left:right])


def test_unknown_values_begin_at_zero(sharded: DistributedModelParallel) -> None:
    """The row of every table that a vocabulary gives to values which training did not meet is zero; no other row is."""
    assert UNKNOWN_ROW == OUT_OF_VOCABULARY_ROW
    for table in whole_tables(sharded).values():
        assert [row for row, values in enumerate(table) if not values.any()] == [UNKNOWN_ROW]


def whole(rows: int, width: int, filled: dict[tuple[int, int], Tensor] = {}) -> Tensor:  # noqa: B006  made once
    """A whole table."""
    if (rows, width) not in filled:
        filled[rows, width] = torch.empty(rows, width)
        _fill_shard(filled[rows, width], "t", 0, 0, width, seed=3)
    return filled[rows, width]


RANK = """
import json, sys, torch
from torchrec import EmbeddingBagConfig, KeyedJaggedTensor
from modules.embeddings import embed, set_learning_rate, shard_embeddings
from pipeline.run.processes import join
given = json.loads(sys.argv[1])
tables = [EmbeddingBagConfig(name=n, feature_names=[n[2:]], num_embeddings=r, embedding_dim=given["widths"][n])
          for n, r in given["rows"].items()]
with join("cpu") as processes:
    sharded = shard_embeddings(tables, processes.device, 8, learning_rate=0.1, epsilon=1e-8, seed=5)
    own = torch.tensor(given["ids"]).chunk(processes.world_size)[processes.rank]
    fields = [n[2:] for n in given["rows"]]
    sparse = KeyedJaggedTensor(fields, own.t().reshape(-1), lengths=torch.ones(own.numel(), dtype=torch.int32))
    before = embed(sharded, sparse).tolist()
    for rate in given["rates"]:
        set_learning_rate(sharded, rate)
        embed(sharded, sparse).square().mean().backward()
    held = sum(len(table.local_shards()) for table in sharded.state_dict().values())
    print(json.dumps([before, embed(sharded, sparse).tolist(), held]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("tables", ["sharded", "unequal"])
def test_two_ranks_hold_and_learn_what_one_does(ranks: Ranks, tables: str, request: pytest.FixtureRequest) -> None:
    """Each rank holds some tables; looked-up rows are bit-equal to one rank's, and after two steps, each rank with half
    of the rows and the loss a mean, they agree to rounding."""
    sharded = request.getfixturevalue(tables)
    widths = UNEQUAL if tables == "unequal" else dict.fromkeys(ROWS, WIDTH)
    rates = (0.3, 0.01)
    ids, sparse = ids_of(FIELDS, 8)
    before = embed(sharded, sparse).detach()
    for rate in rates:
        set_learning_rate(sharded, rate)
        embed(sharded, sparse).square().mean().backward()
    given_json = json.dumps({"rows": ROWS, "widths": widths, "ids": ids.tolist(), "rates": rates})
    first, second = (json.loads(process.stdout.splitlines()[-1]) for process in ranks(2, RANK, given_json))
    assert first[0] + second[0] == before.tolist()
    torch.testing.assert_close(torch.tensor(first[1] + second[1]), embed(sharded, sparse), rtol=1e-5, atol=1e-6)
    assert not torch.equal(embed(sharded, sparse), before)
    assert sorted([first[2], second[2]]) == [1, 2]


def lists_of(rows: int) -> KeyedJaggedTensor:
    """Lists of 1 to 5 ids of the field v between single ids of the others."""
    generator = torch.Generator().manual_seed(2)
    ones = torch.ones(rows, dtype=torch.int32)
    lengths = [ones, torch.randint(1, 6, (rows,), generator=generator, dtype=torch.int32), ones]
    ids = [
        torch.randint(ROWS[f"t_{field}"], (int(own.sum()),), generator=generator)
        for field, own in zip(FIELDS, lengths, strict=True)
    ]
    return KeyedJaggedTensor(FIELDS, torch.cat(ids), lengths=torch.cat(lengths))


def test_lists_are_averaged_as_torchrec_does() -> None:
    """Looked up, and updated by what reaches them, as an unsharded collection with mean pooling under plain Adagrad by
    row: fields come in the batch's order though lists are looked up apart."""
    tables = configs()
    tables[1] = dataclasses.replace(tables[1], pooling=PoolingType.MEAN)
    sparse = lists_of(8)
    with join("cpu") as processes:
        sharded = shard_embeddings(tables, processes.device, 8, learning_rate=0.1, epsilon=1e-8, seed=5)
        plain = EmbeddingBagCollection(tables=[dataclasses.replace(table) for table in tables])
        before = whole_tables(sharded)
        for name, table in before.items():
            plain.embedding_bags[name].weight.data.copy_(table)
        found, wanted = embed(sharded, sparse), plain(sparse)
        expected = torch.stack([wanted[field] for field in FIELDS], dim=1)
        torch.testing.assert_close(found, expected)
        gradient = torch.randn(found.shape, generator=torch.Generator().manual_seed(3))
        (found * gradient).sum().backward()
        (expected * gradient).sum().backward()
        for name, table in whole_tables(sharded).items():
            own = plain.embedding_bags[name].weight.grad
            assert own is not None
            step = 0.1 * own / (own.square().mean(1, keepdim=True).sqrt() + 1e-8)
            torch.testing.assert_close(table, before[name] - step)


LISTS_RANK = """
import json, sys, torch
from torchrec import EmbeddingBagConfig, KeyedJaggedTensor, PoolingType
from modules.embeddings import embed, shard_embeddings
from modules.table_prior import TablePrior
from pipeline.run.processes import join
given = json.loads(sys.argv[1])
tables = [EmbeddingBagConfig(name=n, feature_names=[n[2:]], num_embeddings=r, embedding_dim=4,
                             pooling=PoolingType.MEAN if n == "t_v" else PoolingType.SUM)
          for n, r in given["rows"].items()]
with join("cpu") as processes:
    sharded = shard_embeddings(tables, processes.device, 8, learning_rate=0.1, epsilon=1e-8, seed=5)
    prior = TablePrior(sharded, 3.0, [("t_v", "v")])
    start = 8 // processes.world_size * processes.rank
    rows = [field[start : start + 8 // processes.world_size] for field in given["ids"]]  # [F] of lists of ids
    ids = torch.tensor([id for field in rows for row in field for id in row])
    lengths = torch.tensor([len(row) for field in rows for row in field], dtype=torch.int32)
    sparse = KeyedJaggedTensor([n[2:] for n in given["rows"]], ids, lengths=lengths)
    for step in range(2):
        looked_up = embed(sharded, sparse)
        gradient = (2 * looked_up / looked_up.numel()).detach()  # of the mean square of this rank's rows
        prior.observe(gradient, sparse)
        (looked_up * gradient).sum().backward()
    print(json.dumps([embed(sharded, sparse).tolist(), prior.state_dict()]))
"""


@pytest.mark.slow
def test_two_ranks_learn_lists_as_one_does(ranks: Ranks) -> None:
    """Lists of different lengths on each rank: looked-up vectors after two steps, and the prior with the lists' share,
    agree with those of one rank to rounding."""
    fields = [lists_of(8)[field] for field in FIELDS]
    ids = [[row.tolist() for row in field.to_dense()] for field in fields]
    given_json = json.dumps({"rows": ROWS, "ids": ids})
    (one,) = (json.loads(process.stdout.splitlines()[-1]) for process in ranks(1, LISTS_RANK, given_json))
    first, second = (json.loads(process.stdout.splitlines()[-1]) for process in ranks(2, LISTS_RANK, given_json))
    torch.testing.assert_close(torch.tensor(first[0] + second[0]), torch.tensor(one[0]), rtol=1e-5, atol=1e-6)
    assert first[1] == second[1] and 0 < first[1]["shares"]["t_v"] < 1
    assert first[1]["shares"] == pytest.approx(one[1]["shares"])
    assert first[1]["held_of_lists"] == pytest.approx(one[1]["held_of_lists"], rel=1e-5)
