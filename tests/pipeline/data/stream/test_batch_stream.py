"""pipeline/data/stream/batch_stream.py:
every row exactly once, the same order for the same seed, on any ranks, across restarts."""

import json
import logging
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.formats.parquet import ParquetReader
from pipeline.data.schema import Schema
from pipeline.data.splits import Split
from pipeline.data.stream.batch_stream import Stream

SCHEMA = Schema("rows", "label", ("x",), ("row", "parity"), (2**31 - 1, 3), integer_ids=("row", "parity"))


def write_rows(folder: Path, file_rows: list[int], group_rows: int) -> ParquetReader:
    """Files whose rows are numbered through; every column follows from the number."""
    first, files = 0, []
    for index, rows in enumerate(file_rows):
        numbers = np.arange(first, first + rows)
        table = pa.table({"label": numbers % 2, "x": numbers, "row": numbers, "parity": numbers % 2})
        files.append(str(folder / f"part_{index}.parquet"))
        pq.write_table(table, files[-1], row_group_size=group_rows)
        first += rows
    return ParquetReader(files, SCHEMA)


def whole(log: ParquetReader) -> Split:
    """All rows as one split."""
    return Split("train", log, (0, 10))


def numbers(batch: Any) -> list[int]:
    """The row numbers of a batch, after checking that its other columns belong to them."""
    rows = batch.ids[:, 0] - 1
    assert torch.equal(batch.label, (rows % 2).float())
    assert torch.equal(batch.ids[:, 1], rows % 2 + 1)
    torch.testing.assert_close(batch.dense[:, 0], torch.log(rows.float() + 1))
    return rows.tolist()


def take(streams: list[Stream], steps: int) -> list[int]:
    """The rows that all ranks get in some steps, rank after rank in each."""
    return [row for _ in range(steps) for stream in streams for row in numbers(next(stream))]


def streams_of(split: Split, world: int, batch: int, **options: Any) -> list[Stream]:
    """One stream a rank."""
    return [Stream(split, batch, rank, world, **options) for rank in range(world)]


RUNS = st.lists(st.tuples(st.integers(1, 8), st.integers(1, 9), st.floats(0, 1)), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(1, 40), RUNS, st.none() | st.integers(0, 99))
@pytest.mark.slow
def test_every_row_once_across_restarts(
    file_rows: list[int], group_rows: int, runs: list[tuple[int, int, float]], seed: int | None
) -> None:
    """Any files, row groups, ranks 1-8, batch sizes and stops: one epoch delivers every row exactly once."""
    total = sum(file_rows)
    with tempfile.TemporaryDirectory() as folder:
        split = whole(write_rows(Path(folder), file_rows, group_rows))
        seen: list[int] = []
        state = None
        for index, (world, batch, share) in enumerate(runs):
            streams = streams_of(split, min(world, total), batch, shuffle_seed=seed)
            for stream in streams:
                if state:
                    stream.load_state_dict(json.loads(json.dumps(state)))
            left = len(streams[0]) - streams[0].batches
            seen += take(streams, left if index == len(runs) - 1 else int(share * left))
            states = [stream.state_dict() for stream in streams]
            assert all(other == states[0] for other in states)
            assert all(len(stream) == len(streams[0]) for stream in streams)
            state = states[0]
            for stream in streams:
                stream.close()
        assert sorted(seen) == list(range(total))
        assert streams[0].batches == len(streams[0])
        assert all(next(stream, None) is None for stream in streams)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 8), st.floats(0, 1), st.integers(1, 3))
def test_resume_repeats_the_uninterrupted_run(world: int, batch: int, share: float, epochs: int) -> None:
    """On the same ranks a stopped stream resumes with exactly the batches of the uninterrupted one, over epochs."""
    with tempfile.TemporaryDirectory() as folder:
        split = whole(write_rows(Path(folder), [50, 23, 40], 16))
        options: dict[str, Any] = {"shuffle_seed": 5, "epochs": epochs, "drop_last": True}
        reference = streams_of(split, world, batch, **options)
        expected = take(reference, len(reference[0]))
        first = streams_of(split, world, batch, **options)
        stop = int(share * len(first[0]))
        seen = take(first, stop)
        second = streams_of(split, world, batch, **options)
        for before, after in zip(first, second, strict=True):
            after.load_state_dict(before.state_dict())
            before.close()
        assert len(second[0]) == len(reference[0])
        seen += take(second, len(second[0]) - stop)
        assert seen == expected
        assert second[0].rows_dropped == reference[0].rows_dropped == epochs * (113 % (world * batch))


def test_order(tmp_path: Path) -> None:
    """Without a seed rows come in the order of the files; with one, in an order of its own for each seed and epoch."""
    split = whole(write_rows(tmp_path, [100, 80], 30))
    assert take([Stream(split, 30)], 6) == list(range(180))
    seeds = [take([Stream(split, 180, shuffle_seed=seed, epochs=2)], 2) for seed in (1, 1, 2)]
    assert seeds[0] == seeds[1] != seeds[2]
    assert seeds[0][:180] != seeds[0][180:]
    for epoch in (seeds[0][:180], seeds[0][180:], seeds[2][:180]):
        assert sorted(epoch) == list(range(180))


def test_batches_mix_distant_rows(tmp_path: Path) -> None:
    """A shuffled batch draws on all parts of the log: its mean row number is near the middle."""
    split = whole(write_rows(tmp_path, [4000, 4000], 250))
    with Stream(split, 400, shuffle_seed=0) as stream:
        rows = numbers(next(stream))
    assert len({row // 250 for row in rows}) >= 8
    assert abs(np.mean(rows) - 4000) < 1500


def test_two_ranks_see_what_one_sees(tmp_path: Path) -> None:
    """Step by step, two ranks with half the batch get the rows that one rank gets."""
    split = whole(write_rows(tmp_path, [500, 501], 90))
    alone = streams_of(split, 1, 64, shuffle_seed=3, drop_last=True)
    together = streams_of(split, 2, 32, shuffle_seed=3, drop_last=True)
    for _ in range(len(alone[0])):
        assert take(together, 1) == take(alone, 1)


def test_remainder_is_said_once_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Left-out rows are logged by rank 0 only and counted; without drop_last every row comes."""
    split = whole(write_rows(tmp_path, [103], 20))
    with caplog.at_level(logging.INFO):
        streams = streams_of(split, 2, 10, shuffle_seed=0, drop_last=True)
        assert len(take(streams, len(streams[0]))) == 100
    assert [record.getMessage() for record in caplog.records if "3 rows of each epoch are left out" in record.message]
    assert len(caplog.records) == 1
    assert streams[0].rows_dropped == streams[1].rows_dropped == 3
    streams = streams_of(split, 2, 10)
    assert sorted(take(streams, len(streams[0]))) == list(range(103))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"epochs": 0}, "epochs 0"),
        ({"rank": 2, "world_size": 2}, "rank is 2 of world_size 2"),
        ({"shuffle_seed": -1}, "shuffle_seed is -1"),
        ({"world_size": 6}, "more ranks than rows: split 'train' has 5 rows for 6 ranks"),
        ({"batch_size": 6, "drop_last": True}, "5 rows, less than one batch of 6 rows on each of 1 ranks"),
    ],
)
def test_bad_settings(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    """Settings that cannot work are refused with the value found."""
    split = whole(write_rows(tmp_path, [5], 5))
    with pytest.raises(ValueError, match=message):
        Stream(split, **{"batch_size": 1, **options})


@pytest.mark.parametrize("change", [{"rows": 99}, {"shuffle_seed": 4}, {"split": "valid"}])
def test_foreign_state(tmp_path: Path, change: dict[str, Any]) -> None:
    """A position of other data or another order is refused, naming what differs."""
    stream = Stream(whole(write_rows(tmp_path, [50], 10)), 5, shuffle_seed=3)
    with pytest.raises(ValueError, match=next(iter(change))):
        stream.load_state_dict({**stream.state_dict(), **change})


def read_ahead_threads() -> int:
    """Background threads alive."""
    return sum(thread.name == "data-read-ahead" for thread in threading.enumerate())


def test_thread_ends(tmp_path: Path) -> None:
    """The background thread is gone after the end, after `close`, and after the stream is dropped."""
    split = whole(write_rows(tmp_path, [50], 10))
    before = read_ahead_threads()
    assert len(list(Stream(split, 5))) == 10
    assert read_ahead_threads() == before
    stream = Stream(split, 5)
    next(stream)
    assert read_ahead_threads() == before + 1
    stream.close()
    assert read_ahead_threads() == before
    assert len(list(stream)) == 9  # the position has stayed
    dropped = Stream(split, 5)
    next(dropped)
    del dropped
    assert read_ahead_threads() == before


def test_errors_reach_the_reader(tmp_path: Path) -> None:
    """A bad label met in the background is raised by `next`, with file and row, again and again; nothing hangs."""
    table = pa.table({"label": [0] * 30 + [7] + [0] * 9, "x": range(40), "row": range(40), "parity": [0] * 40})
    pq.write_table(table, tmp_path / "bad.parquet", row_group_size=20)
    stream = Stream(whole(ParquetReader([str(tmp_path / "bad.parquet")], SCHEMA)), 4, epochs=2)
    before = read_ahead_threads()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"bad.parquet: row 30 .* found label 7"):
            list(stream)
        assert read_ahead_threads() == before


def test_little_memory(tmp_path: Path) -> None:
    """With row groups larger than the budget a rank opens one at a time, and still delivers every row."""
    log = write_rows(tmp_path, [1000], 100)
    with Stream(whole(log), 10, shuffle_seed=0, ahead_bytes=1000) as stream:
        assert stream.state_dict()["shards_per_rank"] == 1
        assert sorted(row for batch in stream for row in numbers(batch)) == list(range(1000))
