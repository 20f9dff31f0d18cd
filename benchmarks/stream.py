"""How fast click logs stream, beside what pyarrow and torchrec's own reader need, and how memory grows with the rows.

    python -m benchmarks.stream [--rows 4000000] [--memory_rows 20000000]

Everything is generated in a temporary folder: Criteo's 13 integers and 26 categories with Criteo Terabyte's table
sizes. CPU-seconds of the whole process (all threads); contenders alternate, and the best of each counts. The last line
is JSON:
parquet_vs_pyarrow   rows per CPU-second of a stream of prepared Parquet in the order of the files, over those of
                     pyarrow reading and decoding the same columns of the same files into numpy
parquet_shuffled_vs_pyarrow   the same for a shuffled stream, as in training
tsv_vs_torchrec      rows per CPU-second of raw .tsv.gz → Batch, the counting pass included, over those of
                     torchrec.datasets.criteo's row reader on the same file
rss_growth           peak resident memory after the imports of a stream of --memory_rows rows over that of 1 million
"""

import csv
import dataclasses
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import tyro
from iopath.common.file_io import PathHandler, PathManagerFactory
from torchrec.datasets.criteo import criteo_terabyte
from torchrec.datasets.utils import PATH_MANAGER_KEY

from pipeline.data.formats.parquet import ParquetReader
from pipeline.data.formats.prepared import FILE_ROWS, ROW_GROUP_ROWS, WRITER_OPTIONS, arrow_schema
from pipeline.data.formats.text import TextReader
from pipeline.data.generate.logs import GenerateConfig, generate
from pipeline.data.schema import Schema
from pipeline.data.splits import Split
from pipeline.data.stream.batch_stream import Stream

SCHEMA = Schema.load("criteo_terabyte")
FEW_ROWS = 1_000_000
"""The smaller stream whose memory is measured."""


@dataclasses.dataclass(frozen=True)
class StreamBenchmark:
    """What to measure."""

    rows: int = 4_000_000
    """Rows of Parquet, in files as prepare writes them; the text has a sixteenth of them. A stream's start costs up
    to what 100,000 rows do, so that a million would measure that too."""
    memory_rows: int = 20_000_000
    """Rows of the larger stream whose memory is measured; 36 bytes of disk each."""
    batch_size: int = 16_384
    """Rows a batch."""
    repeats: int = 10
    """Runs of each contender."""


def main(config: StreamBenchmark) -> None:
    """Measures and prints."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared = write_prepared(folder / "prepared", config.rows)
        text, text_rows = write_text(folder, config.rows // 16)
        parquet = alternate(
            {
                "pyarrow alone → numpy": lambda: read_with_pyarrow(prepared),
                "stream, order of files": lambda: stream_parquet(prepared, config.batch_size, None),
                "stream, shuffled": lambda: stream_parquet(prepared, config.batch_size, 0),
            },
            config,
        )
        lines = alternate(
            {
                "torchrec's row reader": lambda: read_with_torchrec(text),
                "stream, with the counting pass": lambda: stream_text(text, config.batch_size, folder),
                "stream, lines counted before": lambda: stream_text(text, config.batch_size, folder, counted=True),
            },
            config,
        )
        rss = {rows: resident_bytes(folder, rows) for rows in (FEW_ROWS, config.memory_rows)}
    pyarrow_rate, in_order, shuffled = show(f"prepared Parquet, {config.rows:,} rows", parquet, config.rows)
    torchrec_rate, first_pass, _ = show(f"raw .tsv.gz, {text_rows:,} rows", lines, text_rows)
    print("\nresident memory of a shuffled stream of prepared Parquet, beyond the imports")
    for rows, size in rss.items():
        print(f"  {rows:>12,} rows {size / 2**20:8.1f} MiB")
    few, many = rss.values()
    figures = {
        "parquet_vs_pyarrow": in_order / pyarrow_rate,
        "parquet_shuffled_vs_pyarrow": shuffled / pyarrow_rate,
        "tsv_vs_torchrec": first_pass / torchrec_rate,
        "rss_growth": many / few,
    }
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def alternate(contenders: dict[str, Callable[[], int]], config: StreamBenchmark) -> dict[str, float]:
    """CPU-seconds of each contender's best run; the runs alternate, so that all meet the same machine."""
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(config.repeats):
        for name, run in contenders.items():
            start = time.process_time()
            run()
            best[name] = min(best[name], time.process_time() - start)
    return best


def show(title: str, seconds: dict[str, float], rows: int) -> list[float]:
    """Prints a table and returns the rows per CPU-second."""
    print(f"\n{title}")
    first = next(iter(seconds.values()))
    for name, taken in seconds.items():
        print(f"  {name:<32} {rows / taken / 1e6:7.3f} M rows/CPU-s  {first / taken:6.2f} x")
    return [rows / taken for taken in seconds.values()]


def write_prepared(folder: Path, rows: int) -> list[str]:
    """Prepared files of generated rows: some drawn once, then given in other orders, which costs as much to read."""
    folder.mkdir()
    with tempfile.TemporaryDirectory(dir=folder) as name:
        (raw,) = generate(GenerateConfig(name, rows=min(rows, FEW_ROWS), days=1))
        reader = ParquetReader([raw], SCHEMA)
        parts = [reader.read(unit, None) for unit in range(len(reader.units))]
    dense, ids, label = (
        np.concatenate([getattr(part, key) for part in parts], axis=-1) for key in ("dense", "ids", "label")
    )
    schema, generator, paths = arrow_schema(SCHEMA, numbering="hash"), np.random.default_rng(0), []
    for first in range(0, rows, FILE_ROWS):
        paths.append(str(folder / f"day_0-{first // FILE_ROWS:05}.parquet"))
        stop = min(rows, first + FILE_ROWS)
        with pq.ParquetWriter(paths[-1], schema, **WRITER_OPTIONS) as writer:
            for start in range(first, stop, ROW_GROUP_ROWS):
                order = generator.integers(len(label), size=min(ROW_GROUP_ROWS, stop - start))
                columns = [label[order].astype(np.int8), *(column[order] for column in (*dense, *ids))]
                writer.write_table(pa.table([pa.array(column) for column in columns], schema=schema))
    return paths


def write_text(folder: Path, rows: int) -> tuple[str, int]:
    """The generated rows as one gzip stream, as Criteo's files are."""
    (plain,) = generate(GenerateConfig(str(folder / "text"), rows=rows, days=1, format="tsv"))
    packed = folder / "day_0.tsv.gz"
    with open(plain, "rb") as source, gzip.open(packed, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return str(packed), rows


def read_with_pyarrow(paths: list[str]) -> int:
    """Each row group's columns as numpy arrays."""
    rows = 0
    for path in paths:
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=list(SCHEMA.inputs), use_threads=False)
            arrays = [column.to_numpy() for column in table.columns]
            rows += len(arrays[0])
    return rows


def stream_parquet(paths: list[str], batch_size: int, seed: int | None) -> int:
    """Every batch of the files."""
    with Stream(Split("train", ParquetReader(paths, SCHEMA)), batch_size, shuffle_seed=seed) as stream:
        return sum(batch.num_rows for batch in stream)


def stream_text(path: str, batch_size: int, folder: Path, counted: bool = False) -> int:
    """Every batch of the file, its lines counted first unless that was done."""
    counts = folder / "counts"
    if not counted:
        shutil.rmtree(counts, ignore_errors=True)
    with Stream(Split("train", TextReader([path], SCHEMA, counts)), batch_size, shuffle_seed=0) as stream:
        return sum(batch.num_rows for batch in stream)


class GzipHandler(PathHandler):
    """torchrec opens paths through iopath, which does not unpack; this does, as text."""

    def _get_supported_prefixes(self) -> list[str]:
        return ["gzip://"]

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **_: object) -> object:
        return gzip.open(path.removeprefix("gzip://"), "rt", newline="")


def read_with_torchrec(path: str) -> int:
    """Each row as torchrec's reader gives it: a dictionary of typed values."""
    PathManagerFactory.get(PATH_MANAGER_KEY).register_handler(GzipHandler(), allow_override=True)
    csv.field_size_limit(1 << 20)
    return sum(1 for _ in criteo_terabyte([f"gzip://{path}"]))


def resident_bytes(folder: Path, rows: int) -> int:
    """Peak resident memory of a process that streams so many rows, beyond what its imports take."""
    paths = write_prepared(folder / "many", rows)
    code = (
        "import sys, benchmarks.stream as b\n"
        "before = b.peak_rss(); b.stream_parquet(sys.argv[2:], int(sys.argv[1]), 0); print(b.peak_rss() - before)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, "16384", *paths]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], check=True, capture_output=True, text=True)
    shutil.rmtree(folder / "many")
    return int(done.stdout.split()[-1])


def peak_rss() -> int:
    """Bytes, of this process alone (getrusage's figure begins with the parent's)."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main(tyro.cli(StreamBenchmark, description=__doc__))
