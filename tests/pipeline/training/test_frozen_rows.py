"""pipeline/training/frozen_rows.py: the split's own rows, as looked up one by one, in the stream's order."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.session import Session
from pipeline.training import frozen_rows
from pipeline.training.frozen_rows import FrozenRows, HeldRows, load_frozen_rows, load_held_rows
from pipeline.training.stage import new_tables


def columns(rows: FrozenRows) -> list[torch.Tensor]:
    """The three columns."""
    return [rows.dense, rows.embedded, rows.label]


@pytest.mark.parametrize("chunk_rows", [2048, 7])
def test_rows_are_the_splits(session: Session, monkeypatch: pytest.MonkeyPatch, chunk_rows: int) -> None:
    """Dense inputs and labels are the data set's; a field's vector is the table's row of its id; in chunks of any size.

    Fewer rows are the first of all; more than there are is all.
    """
    monkeypatch.setattr(frozen_rows, "LOOKUP_ROWS", chunk_rows)
    tables = new_tables(session, session.config.supernet)
    every = load_frozen_rows(tables, session.dataset, "valid", 10**9, session.processes)
    (batch,) = session.dataset.stream("valid", session.dataset.rows("valid"))
    assert torch.equal(every.dense, batch.dense) and torch.equal(every.label, batch.label)
    contents = {name.split(".")[-2]: table.local_shards()[0].tensor for name, table in tables.state_dict().items()}
    schema, keyed = session.dataset.schema, batch.sparse.to_dict()
    for field, (column, table) in enumerate(zip(schema.categories, schema.table_names, strict=True)):
        assert torch.equal(every.embedded[:, field], contents[table][keyed[column].values()])
    assert not every.embedded.requires_grad
    for count in (1, 7, 8, 50):
        some = load_frozen_rows(tables, session.dataset, "valid", count, session.processes)
        assert all(torch.equal(one, whole[:count]) for one, whole in zip(columns(some), columns(every), strict=True))


def test_a_shuffle_keeps_rows_together(session: Session) -> None:
    """Rows in another order, the same for a seed: each with its own vectors and label."""
    tables = new_tables(session, session.config.supernet)
    plain, first, again, other = (
        load_frozen_rows(tables, session.dataset, "valid", 10**9, session.processes, shuffle_seed=seed)
        for seed in (None, 1, 1, 2)
    )
    rows = [
        torch.cat([one.dense, one.embedded.flatten(1), one.label[:, None]], dim=1).tolist()
        for one in (plain, first, again, other)
    ]
    assert rows[1] == rows[2] and rows[1] not in (rows[0], rows[3])
    assert sorted(rows[0]) == sorted(rows[1]) == sorted(rows[3])


def test_mixed_rows_are_the_same_in_another_order(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rows, each whole, in a seeded order of their own: the same each time, whatever the chunks."""
    tables = new_tables(session, session.config.supernet)

    def load(mixed: bool, seed: int = 3) -> list[list[float]]:
        rows = load_frozen_rows(tables, session.dataset, "valid", 40, session.processes, seed, mixed)
        return torch.cat([rows.dense, rows.embedded.flatten(1), rows.label[:, None]], dim=1).tolist()

    plain, first = load(False), load(True)
    assert sorted(first) == sorted(plain) and first != plain and load(True) == first
    monkeypatch.setattr(frozen_rows, "LOOKUP_ROWS", 7)
    assert sorted(load(True)) == sorted(load(False))


@pytest.mark.parametrize("ranks", [1, 2, 5])
@pytest.mark.parametrize("lookup_rows", [2048, 7])
def test_held_rows_are_the_mixed_ones(
    session: Session, monkeypatch: pytest.MonkeyPatch, ranks: int, lookup_rows: int
) -> None:
    """Shared out in pieces, of which some ranks have more and some may have none, each looked up where it is held."""
    monkeypatch.setattr(frozen_rows, "LOOKUP_ROWS", lookup_rows)
    tables, dataset = new_tables(session, session.config.supernet), session.dataset
    whole = load_frozen_rows(tables, dataset, "valid", 60, session.processes, 3, mixed=True)
    pieces = [(0, 20), (20, 31), (31, 45), (45, 60)]
    for rank in range(ranks):
        place = dataclasses.replace(session.processes, rank=rank, world_size=ranks)
        found, expected = (
            load_held_rows(tables, dataset, "valid", pieces, place, 3),
            HeldRows.of(whole, pieces, rank, ranks),
        )
        assert all(torch.equal(*pair) for pair in zip(columns(found.rows), columns(expected.rows), strict=True))
        assert (found.pieces, found.rank, found.ranks, len(found)) == (tuple(pieces), rank, ranks, 60)
        everything = load_held_rows(tables, dataset, "valid", pieces, place, 3, is_shared=False)
        assert torch.equal(everything.rows.embedded, whole.embedded) and everything.ranks == 1


@given(count=st.integers(1, 3000), ranks=st.integers(1, 9), ends=st.tuples(st.integers(0, 3000), st.integers(0, 3000)))
@settings(max_examples=40, deadline=None)
def test_every_row_is_held_once(count: int, ranks: int, ends: tuple[int, int]) -> None:
    """By one rank, whole pieces each; what is asked for by first and last row are the pieces that have such rows."""
    rows = FrozenRows(torch.zeros(count, 1), torch.zeros(count, 1, 1), torch.arange(count).float())
    start, stop, found = min(ends), max(ends), list[int]()
    for rank in range(ranks):
        held = HeldRows.of(rows, None, rank, ranks)
        own = [part for _, _, part in held.held(0, count)]
        assert len(held) == count and sum(map(len, own)) == len(held.rows)
        found += [int(value) for part in own for value in part.label]
        for number, piece, part in held.held(start, stop):
            assert piece[0] < stop and piece[1] > start and torch.equal(part.label, own[number].label)
            assert part.label.tolist() == list(range(*piece))
    assert sorted(found) == list(range(count))


@pytest.mark.parametrize("count", [1, frozen_rows.CHUNK_ROWS, frozen_rows.CHUNK_ROWS + 1])
def test_chunks_are_the_rows_again(count: int) -> None:
    """Joined they are the rows; all but the last have CHUNK_ROWS."""
    rows = FrozenRows(torch.rand(count, 2), torch.rand(count, 3, 4), torch.rand(count))
    chunks = rows.chunks()
    sizes = [len(chunk.label) for chunk in chunks]
    assert set(sizes[:-1]) <= {frozen_rows.CHUNK_ROWS} and 0 < sizes[-1] <= frozen_rows.CHUNK_ROWS
    for place, column in enumerate(columns(rows)):
        assert torch.equal(torch.cat([columns(chunk)[place] for chunk in chunks]), column)
