"""Splits by time: the earliest rows train, later ones validate, the last ones test; found once, kept and found again.

<folder>/time_split/part_of_row.bin   a byte a row of the click log: 0 train, 1 valid, 2 test
<folder>/time_split/split.json        what was split, and where; written last

Cuts are between two different times only: rows of one time, which may be those of one request, are of one split. Of the
places where the log can be cut, the two are taken that are nearest to 80 % and 90 % of its rows.

All times are read once, into an unnamed file of 8 bytes a row in which the cuts are found by counting digits, so that
the memory does not grow with the log; whoever is killed on the way leaves nothing that counts.

n rows of the click log.
"""

import dataclasses
import itertools
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.data.config import DataConfig
from pipeline.data.fingerprint import fingerprint
from pipeline.data.formats.reader import Reader
from pipeline.data.formats.times import LEAST_TIMES, MEASURES, in_words, sortable
from pipeline.data.splits import SPLITS, Split, ten_parts
from pipeline.data.storage.paths import locked
from pipeline.run.files import atomic_write, read_json, scratch_file, write_json

logger = logging.getLogger(__name__)

FOLDER = "time_split"
"""Under the run's data folder."""
PART_OF_ROW, DESCRIPTION = "part_of_row.bin", "split.json"
CHUNK_ROWS = 1 << 20
"""Times looked at together."""
_DIGIT_BITS = 16
_KEY_BITS = 64
_VERSION = 1

Keys = npt.NDArray[np.uint64]


class Cut(NamedTuple):
    """A place between two times."""

    rows: int
    """Rows before it."""
    key: int
    """Times from here on (as `sortable` numbers) are behind it."""


def split_by_time(reader: Reader, config: DataConfig, home: Path) -> tuple[dict[str, Split], str]:
    """train, valid and test, and in words what was cut where. One process at a time looks for the cuts.

    Raises ValueError where a row has no time, the files' times are not of one measure, or too few times differ.
    """
    folder, settings = home / FOLDER, _settings(reader, config)
    with locked(folder):
        found = _recall(folder, settings)
        if found is None:
            (folder / DESCRIPTION).unlink(missing_ok=True)  # the rows' parts are replaced before it is there again
            for leftover in folder.glob(f"{PART_OF_ROW}.tmp-*"):  # of a process that was killed
                leftover.unlink(missing_ok=True)
            found = {"settings": settings, **_divide(reader, folder)}
            write_json(folder / DESCRIPTION, found)
        part_of_row = np.memmap(folder / PART_OF_ROW, np.uint8, mode="r", shape=(_rows(reader),))
    places = [
        f"{rows:,} rows {first} to {last} {name}"
        for name, rows, (first, last) in zip(SPLITS, found["rows"], found["times"], strict=True)
    ]
    splits = {name: Split(name, reader, part_of_row=part_of_row) for name in SPLITS}
    return splits, f"by time, column {reader.schema.timestamp!r}: {', '.join(places)}"


def _rows(reader: Reader) -> int:
    return reader.units[-1].first_row + reader.units[-1].rows


def _settings(reader: Reader, config: DataConfig) -> dict[str, Any]:
    """What the splits depend on, as plain JSON values: contents of the files, wherever they lie, and rows set aside."""
    files = [dataclasses.asdict(file) for file in fingerprint(config).files]
    for file in files:
        del file["modified_ns"]  # a copy has another
    return {
        "version": _VERSION,
        "files": files,
        "schema": {**reader.schema.to_json(), "table_sizes": None},
        "max_bad_rows": config.max_bad_rows,
        "rows": _rows(reader),
    }


def _recall(folder: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """What the folder holds; None unless it is of these settings and whole."""
    description, parts = folder / DESCRIPTION, folder / PART_OF_ROW
    found: dict[str, Any] = read_json(description) if description.exists() and parts.exists() else {}
    if found.get("settings") != settings:
        return None
    crc32 = 0
    with open(parts, "rb") as handle:
        while block := handle.read(CHUNK_ROWS):
            crc32 = zlib.crc32(block, crc32)
        is_whole = handle.tell() == settings["rows"] and crc32 == found["crc32"]
    return found if is_whole else None


def _divide(reader: Reader, folder: Path) -> dict[str, Any]:
    """Writes the part of each row; the rows and the first and last time of each part, and the file's checksum."""
    rows, crc32 = _rows(reader), 0
    logger.info("reading the times of %d rows", rows)
    with scratch_file(folder) as scratch:
        measure = _write_keys(reader, scratch)
        keys = SortedKeys(scratch, rows)
        cuts = find_cuts(keys, reader.schema.timestamp)
        counts, lows, highs = [0] * 3, [2**64] * 3, [-1] * 3
        with atomic_write(folder / PART_OF_ROW) as handle:
            for chunk in keys.chunks():
                part = sum(((chunk >= np.uint64(cut.key)).astype(np.uint8) for cut in cuts), np.uint8(0))
                handle.write(contents := part.tobytes())
                crc32 = zlib.crc32(contents, crc32)
                for number in range(len(SPLITS)):
                    if len(own := chunk[part == number]):
                        counts[number] += len(own)
                        lows[number] = min(lows[number], int(own.min()))
                        highs[number] = max(highs[number], int(own.max()))
    ends = zip(lows, highs, strict=True)
    return {"rows": counts, "times": [[in_words(key, measure) for key in pair] for pair in ends], "crc32": crc32}


def _write_keys(reader: Reader, scratch: IO[bytes]) -> pa.DataType:
    """Writes every row's time, in the order of the rows; returns their measure."""
    measure: pa.DataType | None = None
    for number, unit in enumerate(reader.units):
        times = reader.times(number)
        assert len(times) == unit.rows
        measure = measure or times.type
        if times.type != measure:
            raise ValueError(
                f"{unit.path}: column {reader.schema.timestamp!r}: found {MEASURES[times.type]} in row "
                f"{unit.first_row} of the log (from 0), {MEASURES[measure]} before it; write them the same way"
            )
        scratch.write(sortable(times).tobytes())
    assert measure is not None
    return measure


class SortedKeys:
    """Times in a file of 8 bytes each, as numbers; which of them would be where, if they were sorted."""

    def __init__(self, scratch: IO[bytes], rows: int) -> None:
        self._scratch, self.rows = scratch, rows

    def chunks(self) -> Iterator[Keys]:
        """All of them, in the order of the rows."""
        self._scratch.seek(0)
        while block := self._scratch.read(8 * CHUNK_ROWS):
            yield np.frombuffer(block, np.uint64)

    def group(self, rank: int) -> tuple[Cut, Cut]:
        """The places before and behind all rows that have the time of row `rank` (from 0) in the order of times.

        The key is found 16 bits at a time, the highest first, by counting those that begin as it does.
        """
        key, before, behind = 0, 0, self.rows
        for shift in range(_KEY_BITS - _DIGIT_BITS, -1, -_DIGIT_BITS):
            counts = np.zeros(1 << _DIGIT_BITS, np.int64)
            for chunk in self.chunks():
                beginnings = chunk >> np.uint64(shift)
                if shift + _DIGIT_BITS < _KEY_BITS:
                    beginnings = beginnings[beginnings >> np.uint64(_DIGIT_BITS) == np.uint64(key)]
                digits = (beginnings & np.uint64((1 << _DIGIT_BITS) - 1)).astype(np.int64)
                counts += np.bincount(digits, minlength=len(counts))
            stops = before + np.cumsum(counts)
            digit = int(np.searchsorted(stops, rank, side="right"))
            before, behind = int(stops[digit] - counts[digit]), int(stops[digit])
            key = key << _DIGIT_BITS | digit
        return Cut(before, key), Cut(behind, key + 1)


def find_cuts(keys: SortedKeys, column: str) -> tuple[Cut, Cut]:
    """The two places between different times that are nearest, together, to 80 % and 90 % of the rows.

    Raises ValueError where fewer than three times differ.
    """
    wanted = ten_parts(keys.rows)
    groups = [keys.group(rank) for rank in wanted]
    (first, _), (_, last) = groups
    if groups[0][1].rows >= groups[1][0].rows:  # no time lies between: one of the two may have to move further
        groups += [keys.group(first.rows - 1)] if first.rows else []
        groups += [keys.group(last.rows)] if last.rows < keys.rows else []
    cuts = sorted({cut.rows: cut for group in groups for cut in group if 0 < cut.rows < keys.rows}.values())
    pairs = list(itertools.combinations(cuts, 2))
    if not pairs:
        raise ValueError(
            f"column {column!r}: {keys.rows:,} rows have {len(cuts) + 1} different times, but data.split time, which "
            f"keeps rows of one time together, needs {LEAST_TIMES} or more; give finer times, or another data.split"
        )
    return min(pairs, key=lambda pair: sum(abs(cut.rows - rows) for cut, rows in zip(pair, wanted, strict=True)))
