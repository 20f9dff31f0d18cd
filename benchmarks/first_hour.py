"""What a newcomer waits for first: --help, and what a log of one's own is taken for.

    python -m benchmarks.first_hour [--rows 100000] [--repeats 3]

CPU-seconds, user and system, of `python -m pipeline.chain --help` and `python -m pipeline.data.describe --path my.csv`,
each in a process of its own; the CSV has a header and no schema. Wall-clock seconds depend on what else runs. The last
line is JSON:

    help_s, describe_s      medians of the repeats
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy
import pyarrow
import pyarrow.csv
import tyro

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class FirstHourConfig:
    """How large the log is, and how often both are started."""

    rows: int = 100_000
    """Rows of the CSV, at least 100."""
    repeats: int = 3
    """Processes of each, at least 1."""
    seed: int = 0
    """Seed of the log's values, at least 0."""


def write_log(path: Path, rows: int, generator: numpy.random.Generator) -> None:
    """A shop's log: a click, two whole numbers, a decimal one with gaps, and four categories of up to 50,000 values."""
    price = generator.lognormal(3.0, 1.0, rows).round(2)
    columns = {
        "clicked": pyarrow.array(generator.integers(0, 2, rows)),
        "visits": pyarrow.array(generator.poisson(4.0, rows)),
        "age_days": pyarrow.array(generator.integers(0, 1000, rows)),
        "price": pyarrow.array(price, mask=generator.random(rows) < 0.1),
    }
    for name, values in (("weekday", 7), ("brand", 300), ("item", 5_000), ("user", 50_000)):
        columns[name] = pyarrow.array([f"{name}_{value}" for value in generator.zipf(1.3, rows) % values])
    pyarrow.csv.write_csv(pyarrow.table(columns), path)


def cpu_s(module: str, *arguments: str) -> float:
    """CPU-seconds, user and system, of a program; it has to end well."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(config: FirstHourConfig) -> dict[str, float]:
    """Start both as often as asked, print each; returns the last line."""
    found: dict[str, list[float]] = {"help_s": [], "describe_s": []}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "my.csv"
        write_log(log, config.rows, numpy.random.default_rng(config.seed))
        print(f"a CSV of {config.rows:,} rows, {log.stat().st_size / 1e6:.1f} MB")
        for _ in range(config.repeats):
            found["help_s"].append(cpu_s("pipeline.chain", "--help"))
            found["describe_s"].append(cpu_s("pipeline.data.describe", "--path", str(log)))
    for name, seconds in found.items():
        print(f"{name:<12} {'  '.join(f'{one:6.2f}' for one in seconds)}")
    return {name: round(statistics.median(seconds), 2) for name, seconds in found.items()}


if __name__ == "__main__":
    print(json.dumps(main(tyro.cli(FirstHourConfig, description=__doc__))))
