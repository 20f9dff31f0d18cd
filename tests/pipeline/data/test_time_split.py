"""pipeline/data/time_split.py: earlier rows train, later ones are judged on; against numpy's sort, in all formats."""

import dataclasses
import datetime
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import DataConfig, open_dataset, time_split
from pipeline.data.dataset import QUARANTINE, SPLITS
from pipeline.data.describe import DescribeConfig, describe
from pipeline.data.formats.parquet import ParquetReader
from pipeline.data.prepare.config import PrepareConfig
from pipeline.data.prepare.prepare import prepare
from pipeline.data.time_split import DESCRIPTION, FOLDER, PART_OF_ROW, SortedKeys, find_cuts
from tests.pipeline.data.timed_logs import ROWS, SCHEMA, cut_by_hand, draw_times, rows_of, split_by_hand, write


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "csv.zst", "parquet"])
@pytest.mark.parametrize("kind", ["seconds", "decimals", "nanoseconds", "hours", "text", "moments"])
def test_against_sorting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, kind: str) -> None:
    """Every row is where a stable sort puts it, whatever the times are and wherever units are cut; no training row is
    as late as one of validation, nor one of validation as one of test."""
    monkeypatch.setattr(time_split, "CHUNK_ROWS", 100)
    monkeypatch.setattr("pipeline.data.formats.text_units.UNIT_BYTES", 1000)
    times = draw_times(kind)
    dataset = open_dataset(write(tmp_path / "log", suffix, times), str(tmp_path / "home"))
    found = rows_of(dataset)
    assert found == split_by_hand(times)
    assert {split: len(rows) for split, rows in found.items()} == {split: dataset.rows(split) for split in SPLITS}
    latest = [max(times[row] for row in found[split]) for split in SPLITS]
    earliest = [min(times[row] for row in found[split]) for split in SPLITS]
    assert latest[0] < earliest[1] and latest[1] < earliest[2]
    assert dataset.split_in_words.startswith(f"by time, column 'when': {dataset.rows('train'):,} rows ")
    assert not list((tmp_path / "home" / FOLDER).glob("*.tmp-*"))


@given(st.lists(st.integers(0, 40), min_size=3, max_size=120).filter(lambda times: len(set(times)) > 2))
def test_cuts(tmp_path_factory: pytest.TempPathFactory, times: list[int]) -> None:
    """Of all places between two times the pair nearest to 80 % and 90 %, however many rows share a time."""
    keys = (np.array(times, np.uint64) << np.uint64(60)) + np.array(times, np.uint64) * np.uint64(7919**3)
    sorted_keys = SortedKeys(io.BytesIO(keys.tobytes()), len(times))
    cuts = find_cuts(sorted_keys, "when")
    ordered, expected = np.sort(keys), cut_by_hand(keys.tolist())
    wanted = len(times) * 8 // 10, len(times) * 9 // 10
    found = tuple(cut.rows for cut in cuts)
    assert sum(map(abs, np.subtract(found, wanted))) == sum(map(abs, np.subtract(expected, wanted)))
    assert found[0] < found[1]
    for cut in cuts:
        assert ordered[cut.rows - 1] < cut.key <= ordered[cut.rows]
    for rank in range(0, len(times), 5):
        before, behind = sorted_keys.group(rank)
        key = int(ordered[rank])
        assert before == ((keys < ordered[rank]).sum(), key) and behind == ((keys <= ordered[rank]).sum(), key + 1)


@pytest.mark.parametrize("days", [3, 7])
def test_few_times(tmp_path: Path, days: int) -> None:
    """A log of some dates is cut between dates, so that each split has one; of two dates it is refused."""
    times = [f"2024-05-{1 + number * days // ROWS:02}" for number in range(ROWS)]
    found = rows_of(open_dataset(write(tmp_path / "log", "csv", times), str(tmp_path / "home")))
    dates = [{times[row] for row in found[split]} for split in SPLITS]
    assert [len(own) for own in dates] == [days - 2, 1, 1] and len(set().union(*dates)) == days
    config = write(tmp_path / "two", "csv", [time.replace("-01", "-02") for time in times[: ROWS * 2 // days]])
    with pytest.raises(ValueError, match=r"column 'when': .* rows have [12] different times, but data.split time"):
        open_dataset(config, str(tmp_path / "home"))


@pytest.mark.parametrize("suffix", ["csv.gz", "parquet"])
def test_ranks_and_resuming(tmp_path: Path, suffix: str) -> None:
    """Two ranks together read what one does, also when one goes on where two stopped, from a home of its own."""
    config = write(tmp_path / "log", suffix, draw_times("text"))
    expected = split_by_hand(draw_times("text"))
    dataset = open_dataset(config, str(tmp_path / "home"))
    for split in SPLITS:
        streams = [dataset.stream(split, 8, rank, 2, shuffle_seed=1, drop_last=False) for rank in range(2)]
        rows = [row for _ in range(3) for stream in streams for row in next(stream).ids[:, 0].tolist()]
        again = open_dataset(config, str(tmp_path / "other")).stream(split, 8, shuffle_seed=1, drop_last=False)
        again.load_state_dict(json.loads(json.dumps(streams[0].state_dict())))
        rows += [row for batch in again for row in batch.ids[:, 0].tolist()]
        assert sorted(row - 1 for row in rows) == expected[split]
        for stream in streams:
            stream.close()


def test_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened again, also elsewhere or with other tables, nothing is read; after any change or damage it is."""
    times, home = draw_times("seconds"), tmp_path / "home"
    config = write(tmp_path / "log", "parquet", times)
    real, read = ParquetReader.times, list[int]()

    def noted(reader: ParquetReader, unit: int) -> pa.Array:
        read.append(unit)
        return real(reader, unit)

    monkeypatch.setattr(ParquetReader, "times", noted)

    def is_read_again(config: DataConfig = config) -> bool:
        read.clear()
        expected = split_by_hand(times)
        assert rows_of(open_dataset(config, str(home))) == expected
        return bool(read)

    assert is_read_again() and not is_read_again()
    shutil.copytree(tmp_path / "log", tmp_path / "moved")
    moved = dataclasses.replace(config, path=str(tmp_path / "moved"), numbering="hash", max_table_rows=5000)
    assert not is_read_again(moved)
    parts = home / FOLDER / PART_OF_ROW
    contents = parts.read_bytes()
    for damage in (contents[:-1], contents + b"\0", bytes([contents[0] ^ 1]) + contents[1:]):
        parts.write_bytes(damage)
        assert is_read_again() and not is_read_again() and parts.read_bytes() == contents
    (home / FOLDER / DESCRIPTION).unlink()  # as a kill before its last file leaves it
    (home / FOLDER / f"{PART_OF_ROW}.tmp-1").write_bytes(b"half")
    assert is_read_again() and not list((home / FOLDER).glob("*.tmp-*"))
    times = draw_times("seconds", seed=1)
    write(tmp_path / "log", "parquet", times)
    assert is_read_again()


KILLED = """
import os, signal, sys
from pipeline.data import DataConfig, open_dataset, time_split
at = sys.argv[1]
if at == "reading":
    real = time_split.sortable
    calls = []
    def dies(times):
        calls.append(times)
        return real(times) if len(calls) < 4 else os.kill(os.getpid(), signal.SIGKILL)
    time_split.sortable = dies
elif at == "writing":
    class Dies:
        crc32 = staticmethod(lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    time_split.zlib = Dies
else:
    time_split.write_json = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
open_dataset(DataConfig(path=sys.argv[2], split="time"), sys.argv[3])
"""


@pytest.mark.slow
@pytest.mark.parametrize("at", ["reading", "writing", "ending"])
def test_killed(ready: Any, tmp_path: Path, at: str) -> None:
    """Killed outright while times are read, while the rows' parts are written, or before the last file: nothing that is
    left counts, and whoever opens next finds the splits and leaves no other file."""
    times = draw_times("seconds")
    config = write(tmp_path / "log", "parquet", times)
    (ended,) = ready.run([(KILLED, [at, config.path, str(tmp_path / "home")], os.environ)])
    assert ended.returncode == -9, ended.stderr
    folder = tmp_path / "home" / FOLDER
    assert not (folder / DESCRIPTION).exists()
    assert rows_of(open_dataset(config, str(tmp_path / "home"))) == split_by_hand(times)
    assert sorted(path.name for path in folder.iterdir()) == sorted([".lock", PART_OF_ROW, DESCRIPTION])


@pytest.mark.slow
def test_processes_that_open_at_once(ready: Any, tmp_path: Path) -> None:
    """Two processes get the same splits, though only one of them reads the times."""
    config = write(tmp_path / "log", "csv", draw_times("seconds"))
    code = (
        "import sys; from pipeline.data import DataConfig, open_dataset, time_split\n"
        "real = time_split._divide\n"
        "time_split._divide = lambda *a: (print('read', file=sys.stderr), real(*a))[1]\n"
        "d = open_dataset(DataConfig(path=sys.argv[1], split='time'), sys.argv[2])\n"
        "print([d._splits[s].select(0).tolist() for s in ('train', 'valid', 'test')])"
    )
    ended = ready.run([(code, [config.path, str(tmp_path / "home")], os.environ)] * 2)
    assert ended[0].stdout == ended[1].stdout != ""
    assert sum(process.stderr.count("read\n") for process in ended) == 1


BAD = {"missing": "", "text": "yesterday", "another measure": "2024-05-01"}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_bad_times_of_text(tmp_path: Path, bad: str) -> None:
    """A line without a time ends the reading with file, line and column; set aside, the others are split without it."""
    times: list[Any] = draw_times("seconds")
    times[3] = times[500] = bad
    config = write(tmp_path / "log", "csv", times)
    message = rf"a\.csv:5: column 'when': found '{bad}', expected a number; .*max_bad_rows"
    with pytest.raises(ValueError, match=message):
        open_dataset(config, str(tmp_path / "home"))
    with pytest.raises(ValueError, match=r"at least 2 lines are not rows, more than data.max_bad_rows = 1"):
        open_dataset(dataclasses.replace(config, max_bad_rows=1), str(tmp_path / "home"))
    dataset = open_dataset(dataclasses.replace(config, max_bad_rows=2), str(tmp_path / "home"))
    good = [row for row in range(ROWS) if row not in (3, 500)]
    expected = {
        split: [good[row] for row in rows] for split, rows in split_by_hand([times[row] for row in good]).items()
    }
    assert rows_of(dataset) == expected
    quarantined = [json.loads(line) for line in (tmp_path / "home" / QUARANTINE).read_text().splitlines()]
    assert [(Path(one["file"]).name, one["line"]) for one in quarantined] == [("a.csv", 5), ("b.csv", 500 - 450 + 2)]


def test_bad_times_of_parquet(tmp_path: Path) -> None:
    """A row without a time is named by file, row and column; a column that cannot hold times, by its type."""
    times: list[Any] = draw_times("seconds")
    times[700] = None
    with pytest.raises(ValueError, match=r"b\.parquet: row 250 \(from 0\), column 'when': found None, expected a"):
        open_dataset(write(tmp_path / "log", "parquet", times), str(tmp_path / "home"))
    config = write(tmp_path / "log", "parquet", [datetime.time(1)] * ROWS)
    with pytest.raises(ValueError, match=r"a\.parquet: column 'when' is of type time64\[us\], expected numbers, "):
        open_dataset(config, str(tmp_path / "home"))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files_of_two_measures(tmp_path: Path, suffix: str) -> None:
    """Numbers in one file and dates in the next have no order."""
    times = [str(1000 + number) if number < ROWS // 2 else "2024-05-01" for number in range(ROWS)]
    with pytest.raises(ValueError, match=r"b\.(csv|parquet): .*a number.*write them the same way"):
        open_dataset(write(tmp_path / "log", suffix, times), str(tmp_path / "home"))


def test_no_time_at_all(tmp_path: Path) -> None:
    """A text column that holds no times is refused with its first line, and so is one that is not there."""
    config = write(tmp_path / "log", "csv", ["1.5.2024"] * ROWS)
    with pytest.raises(ValueError, match=r"a\.csv:2: column 'when': found '1\.5\.2024', expected a time, and no line"):
        open_dataset(config, str(tmp_path / "home"))
    for suffix, message in (("csv", "the header names column 'at' 0 times"), ("parquet", "holds column 'at' 0 times")):
        config = write(tmp_path / suffix, suffix, draw_times("text"), dataclasses.replace(SCHEMA, timestamp="at"))
        with pytest.raises(ValueError, match=message):
            open_dataset(config, str(tmp_path / "home"))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("numbering", ["hash", "vocabulary"])
def test_a_timestamp_that_is_an_input(tmp_path: Path, suffix: str, numbering: Any) -> None:
    """A column may be an input as well: the hour of YYMMDDHH is a category, and the time orders the rows."""
    both = dataclasses.replace(SCHEMA, categories=("row", "when"), table_sizes=(10_000, 25), hours=("when",))
    times = draw_times("hours")
    config = dataclasses.replace(write(tmp_path / "log", suffix, times, both), numbering=numbering)
    dataset = open_dataset(config, str(tmp_path / "home"))
    assert [dataset.rows(split) for split in SPLITS] == [len(rows) for rows in split_by_hand(times).values()]
    with dataset.stream("valid", 9, drop_last=False) as stream:
        hours = [hour for batch in stream for hour in batch.ids[:, 1].tolist()]
    expected = [times[row] % 100 for row in split_by_hand(times)["valid"]]
    if numbering == "hash":
        assert hours == [1 + hour for hour in expected]
    assert len(set(zip(hours, expected, strict=True))) == len(set(expected))


@pytest.mark.parametrize("max_bad_rows", [0, 2])
def test_a_text_category_that_is_a_timestamp(tmp_path: Path, max_bad_rows: int) -> None:
    """Dates of 8 digits as text, which are parsed as words of 8 bytes, are a category and the times."""
    both = dataclasses.replace(SCHEMA, categories=("row", "when"), table_sizes=(10_000, 10_001))
    times: list[Any] = [date.strftime("%Y%m%d") for date in draw_times("moments")]
    config = write(tmp_path / "log", "csv", times, both)
    found = rows_of(open_dataset(dataclasses.replace(config, max_bad_rows=max_bad_rows), str(tmp_path / "home")))
    assert found == split_by_hand(times)


def _prepared(config: DataConfig, folder: Path, schema: Path) -> DataConfig:
    prepare(PrepareConfig(config.path + "/*.csv", str(schema), str(folder), processes=1, max_bad_rows=0.01))
    return dataclasses.replace(config, path=str(folder), max_bad_rows=0)


@pytest.mark.parametrize("kind", ["seconds", "decimals", "nanoseconds", "text", "hours"])
def test_prepared(tmp_path: Path, kind: str) -> None:
    """A prepared log keeps its times and is split as the raw one; lines without a time are set aside, as others are."""
    times: list[Any] = draw_times(kind)
    config = write(tmp_path / "log", "csv", times)
    prepared = _prepared(config, tmp_path / "prepared", tmp_path / "log" / "schema.json")
    for split in ("time", "auto"):
        dataset = open_dataset(dataclasses.replace(prepared, split=split), str(tmp_path / "home"))
        assert rows_of(dataset) == split_by_hand(times)
    assert "the times of 'when'" in describe(DescribeConfig(prepared))
    times[7] = "never"
    worse = _prepared(write(tmp_path / "log", "csv", times), tmp_path / "worse", tmp_path / "log" / "schema.json")
    assert sum(map(len, rows_of(open_dataset(worse, str(tmp_path / "home"))).values())) == ROWS - 1
    assert "column 'when': found 'never'" in (tmp_path / "worse" / "quarantine.jsonl").read_text()


def test_prepared_with_a_timestamp_that_is_an_input(tmp_path: Path) -> None:
    """Then the prepared log has it twice: as the category's table rows, and as times."""
    both = dataclasses.replace(SCHEMA, categories=("row", "when"), table_sizes=(10_000, 25), hours=("when",))
    times = draw_times("hours")
    config = write(tmp_path / "log", "csv", times, both)
    prepared = _prepared(config, tmp_path / "prepared", tmp_path / "log" / "schema.json")
    assert rows_of(open_dataset(prepared, str(tmp_path / "home"))) == split_by_hand(times)


def test_prepared_without_times(tmp_path: Path) -> None:
    """A log that was prepared without a timestamp cannot be split by one, and that is said with what to do."""
    plain = dataclasses.replace(SCHEMA, timestamp="")
    config = write(tmp_path / "log", "csv", draw_times("seconds"), plain)
    prepared = _prepared(config, tmp_path / "prepared", tmp_path / "log" / "schema.json")
    with pytest.raises(ValueError, match=r"names no timestamp; .* and prepare a prepared log again"):
        open_dataset(prepared, str(tmp_path / "home"))
    SCHEMA.save(tmp_path / "asked.json")
    with pytest.raises(ValueError, match=r"was prepared as 'log', with other columns; .*prepare the raw log again"):
        open_dataset(dataclasses.replace(prepared, schema=str(tmp_path / "asked.json")), str(tmp_path / "home"))
