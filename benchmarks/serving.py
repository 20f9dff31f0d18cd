"""Serving: how fast exports answer, what int8 costs, and what the server takes without losing a request.

    python -m benchmarks.serving [--model runs/mine] [--folder /tmp/serving] [--connections 48]

1. The exported model in each format against eager fp32, one thread, batches of 1 and 1,024 (as pipeline.serve_bench),
   by CPU time, which other processes move less than wall-clock time. Without --model, `quick` is run first.
2. AUC on Frappe's test rows with tables in int8, less fp32's: the network of a short race, trained once. The log is
   read where it is (../shared/data/frappe); null where it is absent.
3. The server with a process for each core: single rows over connections that are kept, then the same while the export
   is put in place again twenty times. The rows mix values of model.json's examples with values that nobody met.

The last line is JSON: batch_1_vs_eager, batch_1024_vs_eager (times), int8_auc_difference, requests_per_s,
requests_lost.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.frappe import LOG
from pipeline.serving.bench import in_words, measure
from pipeline.serving.bench_config import ServeBenchConfig

SHORT = """
--race.track one_pass --race.generations 1 --race.handmade dlrm --race.random 1 --race.children 1 --race.proposed 8
--race.finalists 1 --race.handmade-finalists 1 --race.tuning-trials 0 --race.from-supernet 0 --retrain.seeds 1
--minutes 5
"""
"""A race of minutes."""
FILES = ("model.pt", "model.pt2", "model.onnx", "vocabulary.bin", "model.json")
"""Of an export, in the order in which one writes them."""


@dataclass(frozen=True)
class ServingConfig:
    """What is measured."""

    model: str = ""
    """The folder of an export in fp32, of a log of raw rows; empty: a run `quick` in the folder."""
    folder: Path = Path("/tmp/serving")
    """Where runs and served files are."""
    connections: int = 48
    """Requests under way."""
    seconds: float = 10.0
    """Of load."""
    reloads: int = 20
    """New exports under load."""
    rounds: int = 5
    """Of the latency measurement."""


def python(*arguments: str) -> None:
    """Run a program of the project; it has to end well."""
    subprocess.run([sys.executable, "-W", "ignore", "-m", *arguments], check=True)


def quick_run(folder: Path) -> Path:
    """The folder of the run `quick` with model.pt2."""
    python("pipeline.chain", "quick", "--runs", str(folder / "runs"), "--run", "quick", "--export.formats", "pt2")
    return folder / "runs" / "quick"


def int8_auc_difference(folder: Path) -> float | None:
    """On Frappe's test rows."""
    if not LOG.is_dir():
        print(f"{LOG} is absent: no AUC of int8")
        return None
    arguments = ["--data.path", str(LOG), "--runs", str(folder / "runs"), "--run", "frappe", *SHORT.split()]
    for stage in ("race", "retrain", "export"):
        python(f"pipeline.{stage}", *arguments, *(["--export.tables", "int8"] if stage == "export" else []))
    card = json.loads((folder / "runs" / "frappe" / "model.json").read_text())
    check = card["files"][0]["check"]
    print(f"Frappe, fp32 {card['metrics']['test']}; int8 differs by {check}")
    return round(check["auc_difference"], 6)


def mixed_rows(export: Path, count: int = 5_000) -> list[dict[str, Any]]:
    """Raw rows: a fifth of the values are other than those of the examples that they are drawn from."""
    draw = random.Random(0)
    examples = [one["row"] for one in json.loads((export / "model.json").read_text())["raw_rows"]["examples"]]

    def value(column: str) -> Any:
        found = draw.choice(examples)[column]
        if found is None or draw.random() < 0.8:
            return found
        return f"{found}{draw.randrange(10_000)}" if isinstance(found, str) else found + draw.randrange(10_000)

    return [{column: value(column) for column in examples[0]} for _ in range(count)]


class Server:
    """pipeline.serve on a copy of an export."""

    def __init__(self, export: Path, folder: Path) -> None:
        self.export, self.served = export, folder / "served"
        self.served.mkdir(parents=True, exist_ok=True)
        self.put()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-W", "ignore", "-m", "pipeline.serve", str(self.served), "--port", str(self.port)]
        self.process = subprocess.Popen([*command, "--look-s", "0.1"])
        while self.reloads() is None:
            if self.process.poll() is not None:
                raise SystemExit("the server ended")
            time.sleep(0.2)

    def put(self) -> None:
        """The export's files in the folder, each at once."""
        for name in FILES:
            if (self.export / name).exists():
                shutil.copy(self.export / name, self.served / f"{name}.new")
                os.replace(self.served / f"{name}.new", self.served / name)

    def reloads(self) -> float | None:
        """Models loaded by all processes since they began; None where none answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return None
        return sum(float(line.split()[1]) for line in lines if line.startswith('ctr_reloads_total{outcome="loaded"}'))

    def cpu_s(self) -> float:
        """CPU-seconds of its processes."""
        found = 0.0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                fields = (process / "stat").read_text().rpartition(") ")[2].split()
            except OSError:
                continue
            if int(fields[1]) == self.process.pid:
                found += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return found


def load(config: ServingConfig, server: Server, rows: Path, until: Path | None = None) -> "subprocess.Popen[str]":
    """The load, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.serving_load", "--port", str(server.port), "--rows", str(rows)]
    command += ["--connections", str(config.connections), "--seconds", str(config.seconds)]
    command += ["--until", str(until)] if until is not None else []
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def last_line(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What a load found."""
    found: dict[str, Any] = json.loads(process.communicate()[0].splitlines()[-1])
    return found


def serve(config: ServingConfig, export: Path) -> tuple[float, int]:
    """Requests a second, and those lost through the reloads."""
    rows = config.folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in mixed_rows(export)))
    cores, server = len(os.sched_getaffinity(0)), Server(export, config.folder)
    try:
        last_line(load(config, server, rows))  # the first requests of a process are slower
        before = server.cpu_s()
        steady = last_line(load(config, server, rows))
        each_us = 1e6 * (server.cpu_s() - before) / steady["requests"]
        print(
            f"server, {cores} cores: {steady}; {each_us:.0f} µs of CPU a request; load average {os.getloadavg()[0]:.1f}"
        )
        done = config.folder / "done"
        done.unlink(missing_ok=True)
        running = load(config, server, rows, done)
        for number in range(config.reloads):
            wanted = cores * (number + 1)
            server.put()
            while (server.reloads() or 0) < wanted:
                time.sleep(0.1)
        done.touch()
        reloaded = last_line(running)
        print(f"through {config.reloads} reloads: {reloaded}")
    finally:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait()
    return steady["requests_per_s"], steady["lost"] + reloaded["lost"]


def main(config: ServingConfig) -> dict[str, float | None]:
    """All three; returns the last line."""
    config.folder.mkdir(parents=True, exist_ok=True)
    export = Path(config.model) if config.model else quick_run(config.folder)
    found = measure(ServeBenchConfig(str(export), batches=(1, 1024), rounds=config.rounds))
    print(in_words(found))
    times = {
        rows: max((own["eager"].cpu_us / one.cpu_us, name) for name, one in own.items()) for rows, own in found.items()
    }
    print(f"best export: batch 1 {times[1][1]}, batch 1,024 {times[1024][1]}")
    requests_per_s, lost = serve(config, export)
    return {
        "batch_1_vs_eager": round(times[1][0], 2),
        "batch_1024_vs_eager": round(times[1024][0], 2),
        "int8_auc_difference": int8_auc_difference(config.folder),
        "requests_per_s": requests_per_s,
        "requests_lost": lost,
    }


if __name__ == "__main__":
    print(json.dumps(main(tyro.cli(ServingConfig, description=__doc__))))
