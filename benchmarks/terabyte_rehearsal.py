"""A rehearsal of the Criteo Terabyte: generated days through prepare, training on all days but the last, validation.

    python -m benchmarks.terabyte_rehearsal                                    # 480,000 rows, a minute or two
    python -m benchmarks.terabyte_rehearsal --rows 12000000 --train_one_in 60  # 3 GB of raw text

It is killed three times with SIGKILL: prepare once, training twice; each time the same command resumes. Then the rows
that the trainer's streams delivered are compared, as multisets of 64-bit row keys, with the raw text, read and numbered
here by Arrow's own functions. What is read and what is trained on is said in the table. Last line: JSON.
"""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import tyro

from benchmarks.recorded_training import row_keys
from pipeline.data.formats.features import integer_feature
from pipeline.data.generate.logs import GenerateConfig, generate
from pipeline.data.schema import Schema

PROJECT = Path(__file__).resolve().parent.parent
SCHEMA = Schema.load("criteo")
BATCH_SIZE = 4096
"""Rows a batch of the trainer."""


@dataclasses.dataclass(frozen=True)
class RehearsalConfig:
    """How large the rehearsal is."""

    rows: int = 480_000
    """Rows generated; 252 bytes of text each."""
    days: int = 24
    """Files; the last is validated and tested on."""
    min_count: int = 2
    """Of the vocabularies."""
    train_one_in: int = 8
    """Every row is read by the trainer's stream; one batch in so many is trained on."""
    folder: str = ""
    """Where 40 % more than the raw text is written and removed again. Empty: a temporary folder."""


class PeakMemory:
    """The largest memory of a process and all below it: proportional set sizes, so shared pages count once."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._pid, self._done = pid, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more looks."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.25):
            self.bytes = max(self.bytes, sum(_proportional_bytes(pid) for pid in _family(self._pid)))


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in _family(int(child)))]


def _proportional_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


@dataclasses.dataclass
class Stage:
    """A program that is run to its end, with kills on the way."""

    seconds: float = 0.0
    peak_bytes: int = 0
    kills: int = 0

    def run(self, command: list[str], kill_when: list[Callable[[], bool]]) -> None:
        """Starts the command again after each kill; the last start must end well."""
        for kill in [*kill_when, None]:
            started = time.monotonic()
            process = subprocess.Popen(command, cwd=PROJECT, stdout=sys.stderr, env={**os.environ, "TQDM_DISABLE": "1"})
            memory = PeakMemory(process.pid)
            while process.poll() is None:
                if kill is not None and kill():
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    self.kills += 1
                    break
                time.sleep(0.05)
            memory.stop()
            self.seconds += time.monotonic() - started
            self.peak_bytes = max(self.peak_bytes, memory.bytes)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")


def rehearse(config: RehearsalConfig, home: Path) -> dict[str, float]:
    """All of it; prints the table, returns the figures."""
    started = time.monotonic()
    raw = generate(GenerateConfig(str(home / "raw"), config.rows, config.days, format="tsv"))
    raw_bytes = sum(Path(file).stat().st_size for file in raw)
    print(
        f"generated   {config.rows:,} rows, {raw_bytes / 1e9:.2f} GB raw, {time.monotonic() - started:.0f} s",
        flush=True,
    )

    prepared = home / "prepared"
    prepare = Stage()
    options = ["--path", f"{home}/raw/day_*", "--schema", "criteo", "--folder", str(prepared)]
    options += ["--numbering", "vocabulary", "--min_count", str(config.min_count)]

    def half_way() -> bool:
        return len(list((prepared / "work" / "parts").glob("*.json"))) >= config.days // 2

    prepare.run([sys.executable, "-m", "pipeline.data.prepare", *options], [half_way])
    prepared_bytes = sum(file.stat().st_size for file in prepared.glob("*.parquet"))
    print(
        f"prepared    {config.rows / prepare.seconds:,.0f} rows/s, {prepared_bytes / config.rows:.0f} bytes per row, "
        f"{prepare.seconds:.0f} s, killed {prepare.kills} time(s), {prepare.peak_bytes / 1e9:.2f} GB",
        flush=True,
    )

    recorded = home / "trained"
    train = Stage()
    options = ["--prepared", str(prepared), "--run", str(recorded), "--train_one_in", str(config.train_one_in)]
    days = json.loads((prepared / "manifest.json").read_text())["sources"]
    train_rows = sum(day["rows"] for day in days[:-1])
    batches = train_rows // BATCH_SIZE
    options += ["--batch_size", str(BATCH_SIZE), "--checkpoint_every", str(max(1, batches // config.train_one_in // 8))]

    def delivered(share: float) -> Callable[[], bool]:
        return lambda: any(int(path.stem) >= share * batches for path in (recorded / "rows" / "train").glob("*.npy"))

    train.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.recorded_training", *options],
        [delivered(0.2), delivered(0.5)],
    )
    outcome = json.loads((recorded / "outcome.json").read_text())
    trained_on = -(-batches // config.train_one_in) * BATCH_SIZE
    print(
        f"trained     {train_rows:,} rows of days 0-{config.days - 2} read, {trained_on:,} of them trained on (DLRM, "
        f"one batch of {BATCH_SIZE} in {config.train_one_in}), {train.seconds:.0f} s with validation and test, "
        f"{train_rows / train.seconds:,.0f} rows/s read, killed {train.kills} times, {train.peak_bytes / 1e9:.2f} GB\n"
        f"validated   {outcome['valid']['rows']:,} rows: log loss {outcome['valid']['log_loss']:.4f}, "
        f"AUC {outcome['valid']['auc']:.4f}; test {outcome['test']['rows']:,} rows: {outcome['test']['log_loss']:.4f}",
        flush=True,
    )
    lost, repeated = compare(raw, prepared, recorded / "rows", batches * BATCH_SIZE)
    return {
        "rows_lost": lost,
        "rows_repeated": repeated,
        "prepare_rows_per_s": round(config.rows / prepare.seconds),
        "train_rows_per_s": round(trained_on / train.seconds),
        "peak_gb": round(max(prepare.peak_bytes, train.peak_bytes) / 1e9, 2),
    }


def compare(raw: list[str], prepared: Path, recorded: Path, full_batches_rows: int) -> tuple[int, int]:
    """(rows lost, rows repeated) of train, valid and test together; the rest that fills no batch is not lost."""
    days = [raw_keys(file, prepared) for file in raw]
    half = len(days[-1]) // 2
    train = np.concatenate(days[:-1])
    lost = repeated = 0
    for split, expected in (("train", train), ("valid", days[-1][:half]), ("test", days[-1][half:])):
        found = np.concatenate([np.load(file) for file in sorted((recorded / split).glob("*.npy"))])
        keys, counts = np.unique(np.concatenate([expected, found]), return_counts=True)
        wanted, delivered = np.zeros_like(counts), np.zeros_like(counts)
        np.add.at(wanted, np.searchsorted(keys, expected), 1)
        np.add.at(delivered, np.searchsorted(keys, found), 1)
        rest = len(expected) - full_batches_rows if split == "train" else 0
        missing = int(np.maximum(wanted - delivered, 0).sum()) - rest
        more = int(np.maximum(delivered - wanted, 0).sum())
        print(
            f"compared    {split}: {len(expected):,} rows raw, {len(found):,} delivered, {rest:,} fill no batch",
            flush=True,
        )
        lost, repeated = lost + missing, repeated + more
    return lost, repeated


def raw_keys(file: str, prepared: Path) -> npt.NDArray[np.uint64]:
    """Row keys of a raw file, numbered by the vocabularies' files with Arrow's `index_in`."""
    types = {name: pa.string() if name in SCHEMA.categories else pa.int64() for name in SCHEMA.inputs}
    table = pa.csv.read_csv(
        file,
        pa.csv.ReadOptions(column_names=list(SCHEMA.columns)),
        pa.csv.ParseOptions(delimiter="\t", quote_char=False),
        pa.csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True),
    ).combine_chunks()
    columns = [table[SCHEMA.label].to_numpy().astype(np.float32)]
    columns += [integer_feature(table[name].chunk(0)) for name in SCHEMA.integers]
    for name in SCHEMA.categories:
        values = table[name].chunk(0)
        vocabulary = pq.read_table(prepared / "vocabulary" / f"{name}.parquet", columns=["value"])["value"]
        place = pc.add(pc.fill_null(pc.index_in(values, vocabulary), -1), 2)  # -1 + 2: out of the vocabulary
        columns.append(np.where(values.is_null(), 0, place.to_numpy()).astype(np.int32))
    return row_keys(columns)


if __name__ == "__main__":
    config = tyro.cli(RehearsalConfig, description=__doc__)
    home = Path(config.folder or tempfile.mkdtemp(prefix="rehearsal-"))
    home.mkdir(parents=True, exist_ok=True)
    try:
        print(json.dumps(rehearse(config, home)))
    finally:
        shutil.rmtree(home)
