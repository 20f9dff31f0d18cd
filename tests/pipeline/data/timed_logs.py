"""Small logs whose rows have times, and where they are to be cut."""

import datetime
import gzip
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data import DataConfig, Schema
from pipeline.data.dataset import SPLITS, Dataset

SCHEMA = Schema("log", "label", (), ("row",), (10_000,), ("row",), delimiter=",", timestamp="when")
ROWS = 900


def cut_by_hand(times: list[Any]) -> tuple[int, int]:
    """Rows before validation and before test, by trying every pair of places between two times."""
    ordered, rows = sorted(times), len(times)
    places = [place for place in range(1, rows) if ordered[place - 1] < ordered[place]]
    wanted = rows * 8 // 10, rows * 9 // 10

    def distance(pair: tuple[int, int]) -> int:
        return abs(pair[0] - wanted[0]) + abs(pair[1] - wanted[1])

    return min(itertools.combinations(places, 2), key=distance)


def split_by_hand(times: list[Any]) -> dict[str, list[int]]:
    """Numbers of each split's rows, by a stable sort."""
    order = np.argsort(np.array(times), kind="stable")
    first, second = cut_by_hand(times)
    parts = (order[:first], order[first:second], order[second:])
    return {name: sorted(part.tolist()) for name, part in zip(SPLITS, parts, strict=True)}


def rows_of(dataset: Dataset) -> dict[str, list[int]]:
    """Numbers of the rows that each split delivers, in its order."""
    found = {}
    for split in SPLITS:
        with dataset.stream(split, 64, drop_last=False) as stream:
            found[split] = [row - 1 for batch in stream for row in batch.ids[:, 0].tolist()]
    return found


def draw_times(kind: str, seed: int = 0) -> list[Any]:
    """A time for each row, not in order, some in many rows; as the file has it."""
    draws = np.random.default_rng(seed)
    seconds = (1_700_000_000 + draws.integers(0, 700, ROWS) * 1800).tolist()
    moments = [datetime.datetime(2024, 1, 1) + datetime.timedelta(seconds=second - 1_700_000_000) for second in seconds]
    match kind:
        case "seconds":
            return seconds
        case "decimals":
            return [second + 0.25 * (second % 7) for second in seconds]
        case "nanoseconds":
            return [second * 10**9 + number % 3 for number, second in enumerate(seconds)]
        case "hours":
            return [int(moment.strftime("%y%m%d%H")) for moment in moments]
        case "text":
            return [moment.isoformat() for moment in moments]
        case _:
            return moments


def write(folder: Path, suffix: str, times: list[Any], schema: Schema = SCHEMA) -> DataConfig:
    """A log of two files with these times; the settings that open it."""
    folder.mkdir(exist_ok=True)
    schema.save(folder / "schema.json")
    half = len(times) // 2
    for name, numbers in (("a", range(half)), ("b", range(half, len(times)))):
        columns = {"label": [n % 2 for n in numbers], "row": list(numbers), "when": [times[n] for n in numbers]}
        path = folder / f"{name}.{suffix}"
        if suffix == "parquet":
            pq.write_table(pa.table(columns), path, row_group_size=97)
            continue
        rows = zip(*columns.values(), strict=True)
        text = "".join(f"{','.join(map(str, row))}\n" for row in [tuple(columns), *rows]).encode()
        match suffix.rpartition(".")[2]:
            case "gz":
                text = gzip.compress(text)
            case "zst":
                text = pa.Codec("zstd").compress(text, asbytes=True)
        path.write_bytes(text)
    return DataConfig(path=str(folder), split="time")
