"""Memory of prepare where it could grow: with the rows of a file, and with the values of a column's vocabulary.

    python -m benchmarks.prepare_memory [--distinct 2000000 8000000 32000000 48937457]

Every measurement is a process of its own: its peak resident memory, as the system counts it. Criteo Terabyte's longest
column has 48,937,457 values, so the last line of the second table is its real size. Last line: JSON.
"""

import dataclasses
import json
import multiprocessing
import os
import resource
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tyro

from pipeline.data.generate.logs import GenerateConfig, generate
from pipeline.data.prepare.raw_file import FileTask, count_file, prepare_file
from pipeline.data.prepare.vocabulary import Resources, database, merge_counts
from pipeline.data.schema import Schema

CHUNK = 1_000_000


@dataclasses.dataclass(frozen=True)
class MemoryConfig:
    """What is measured."""

    rows: tuple[int, ...] = (200_000, 800_000, 3_200_000)
    """Rows of a file."""
    distinct: tuple[int, ...] = (2_000_000, 8_000_000, 32_000_000, 48_937_457)
    """Values of a column."""
    database_gb: float = 2.0
    """What DuckDB may use for a vocabulary (half of prepare's --memory_gb)."""


def write_counts(path: Path, distinct: int) -> None:
    """Counts of values of 8 hexadecimal digits, as a file of the log leaves them."""
    schema = pa.schema([("column", pa.int16()), ("value", pa.string()), ("count", pa.int64())])
    generator = np.random.Generator(np.random.PCG64(0))
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for first in range(0, distinct, CHUNK):
            number = np.arange(first, min(first + CHUNK, distinct), dtype=np.uint32)
            digits = (number * np.uint32(0x9E3779B1)).astype(">u4").tobytes().hex().encode()
            offsets = pa.py_buffer(np.arange(0, len(digits) + 1, 8, dtype=np.int32))
            values = pa.StringArray.from_buffers(len(number), offsets, pa.py_buffer(digits))
            column = pa.array(np.zeros(len(number), np.int16))
            count = pa.array(generator.geometric(0.3, len(number)))
            writer.write_batch(pa.RecordBatch.from_arrays([column, values, count], schema=schema))


def merge(home: Path, counts: Path, database_gb: float) -> None:
    """The vocabulary of all values, as prepare makes it."""
    with database(Resources(int(database_gb * 2**30), 2, home / "spill")) as connection:
        merge_counts(connection, [counts], 0, False, 1, 2**31 - 1, home / "vocabulary.parquet", home / "index")


def peak_bytes(action: Callable[..., object], *arguments: object) -> int:
    """Peak resident memory of a new process that does the action alone."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(sender, action, *arguments))
    process.start()
    sender.close()
    found: int = receiver.recv()
    process.join()
    return found


def _measured(
    sender: "multiprocessing.connection.Connection[int]", action: Callable[..., object], *arguments: object
) -> None:
    pa.set_cpu_count(1)
    action(*arguments)
    sender.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def measure(config: MemoryConfig, home: Path) -> dict[str, float]:
    """Prints both tables; returns the figures."""
    for name in ("counts", "parts", "quarantine", "index"):
        (home / "work" / name).mkdir(parents=True)
    by_rows = []
    for rows in config.rows:
        (file,) = generate(GenerateConfig(str(home / f"raw_{rows}"), rows, 1, format="tsv"))
        task = FileTask(file, f"day_{rows}", home, Schema.load("criteo_terabyte"), vocabulary=False, max_bad_rows=0)
        by_rows.append(peak_bytes(prepare_file, task))
        counting = peak_bytes(count_file, task, Resources(2**28, 1, home / "spill"))
        print(
            f"{rows:>11,} rows of a file: {by_rows[-1] / 1e6:6.0f} MB to prepare, {counting / 1e6:6.0f} MB to count",
            flush=True,
        )
        os.remove(file)
    by_distinct = []
    for distinct in config.distinct:
        write_counts(home / "counts.parquet", distinct)
        by_distinct.append(peak_bytes(merge, home, home / "counts.parquet", config.database_gb))
        print(f"{distinct:>11,} values of a column: {by_distinct[-1] / 1e6:6.0f} MB for its vocabulary", flush=True)
    slope = np.polyfit(config.distinct, by_distinct, 1)[0] if len(by_distinct) > 1 else float("nan")
    return {
        "prepare_bytes_per_row": round(float(np.polyfit(config.rows, by_rows, 1)[0]), 2),
        "prepare_peak_gb": round(max(by_rows) / 1e9, 3),
        "vocabulary_bytes_per_value": round(float(slope), 1),
        "vocabulary_peak_gb": round(max(by_distinct) / 1e9, 3),
    }


if __name__ == "__main__":
    home = Path(tempfile.mkdtemp(prefix="prepare-memory-"))
    try:
        print(json.dumps(measure(tyro.cli(MemoryConfig, description=__doc__), home)))
    finally:
        shutil.rmtree(home)
