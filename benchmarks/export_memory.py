"""Memory that an export of large tables takes: of the process that writes it, and of one that loads it.

    python -m benchmarks.export_memory [--megabytes 1024] [--folder F]

A table of so many MB is read from a checkpoint and written as model.pt, with the table in it and with --export.mapped;
then a fresh process loads each and scores 1,000 random rows. Peaks are sampled every 10 ms from /proc: memory of the
process's own (RssAnon), which has to be there, and pages of files beside it (VmHWM has both), which the system takes
back when it needs them. The last line is JSON, MB.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

WIDTH = 16
WRITE = """
import torch
import torch.distributed.checkpoint as dcp
from pathlib import Path
from modules.space import InputShape
from modules.space.handmade import handmade
from modules.supernet import Subnet
from pipeline.run.checkpoint import complete
from pipeline.run.tensor_files import TensorReader, TensorsOnly
from pipeline.serving import torchscript_model
from pipeline.serving.mapped_tables import scratch_tables
from pipeline.serving.names import ExportFiles
from pipeline.serving.exported_model import ExportedModel, TrainedParts
from pipeline.serving.torchscript_model import _script_apart, _write_checked
torchscript_model.check_file = lambda *arguments: None  # in a process of its own, which loads as the one below
def work(folder, rows, mapped):
    shape = InputShape(2, 1, 16)
    network = Subnet(handmade("dlrm", shape), shape, torch.Generator().manual_seed(0))
    (checkpoint,) = complete(folder / "stage")
    tables = scratch_tables({"t": (rows, 16)}, folder)
    dcp.load(tables, storage_reader=TensorReader(checkpoint), planner=TensorsOnly(), no_dist=True)
    model = ExportedModel([TrainedParts(tables, network)], 2, folder=folder).eval().requires_grad_(False)
    target = folder / "model.pt"
    _write_checked(_script_apart(model, target, mapped), model, target, ExportFiles(mapped=mapped), model, None)
"""
WRITE_IN_MEMORY = """
import torch
import torch.distributed.checkpoint as dcp
from pathlib import Path
from modules.space import InputShape
from modules.space.handmade import handmade
from modules.supernet import Subnet
from pipeline.run.checkpoint import complete
from pipeline.run.tensor_files import TensorReader, TensorsOnly
from pipeline.serving.exported_model import ExportedModel, TrainedParts
from pipeline.serving.torchscript_model import _script_apart
def work(folder, rows, mapped):
    shape = InputShape(2, 1, 16)
    network = Subnet(handmade("dlrm", shape), shape, torch.Generator().manual_seed(0))
    (checkpoint,) = complete(folder / "stage")
    tables = {"t": torch.empty(rows, 16)}
    dcp.load(tables, storage_reader=TensorReader(checkpoint), planner=TensorsOnly(), no_dist=True)
    joined = torch.empty(rows, 16)
    torch.cat(list(tables.values()), out=joined)
    model = ExportedModel([TrainedParts({"t": joined}, network)], 2).eval().requires_grad_(False)
    with (folder / "model.pt").open("wb") as handle:
        torch.jit.save(_script_apart(model, folder / "model.pt", False), handle)
"""
LOAD = """
import torch
from pathlib import Path
def work(folder, rows, mapped):
    model = torch.jit.load(str(folder / "model.pt"))
    if mapped:
        model.map_tables(str(folder / "model.tables"))
    ids = torch.randint(rows, (1000, 1))
    assert model(torch.rand(1000, 2), ids).isfinite().all()
"""
MAIN = "\nimport sys; print('ready', flush=True); sys.stdin.readline(); "
MAIN += "work(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == 'mapped')\n"


def write_checkpoint(folder: Path, rows: int) -> None:
    """A checkpoint with one table."""
    import torch

    from pipeline.run.checkpoint import Checkpoints
    from pipeline.run.processes import join
    from pipeline.serving.mapped_tables import scratch_tensor

    table = scratch_tensor(rows, WIDTH, folder)
    for number, part in enumerate(table.split(1 << 16)):
        part.uniform_(-1, 1, generator=torch.Generator().manual_seed(number))
    with join("cpu") as processes:
        Checkpoints(folder / "stage", processes).save(1, {"t": table}, {})


def peaks(program: str, folder: Path, rows: int, kind: str) -> dict[str, int]:
    """Peak MB of a fresh process above what it has once its imports are done."""
    command = [sys.executable, "-W", "ignore", "-c", program + MAIN, str(folder), str(rows), kind]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    while process.stdout.readline().strip() != "ready":
        assert process.poll() is None, "the program has failed"
    before, found = memory(process.pid), dict[str, int]()
    done = threading.Event()

    def sample() -> None:
        while not done.is_set():
            for name, value in memory(process.pid).items():
                found[name] = max(found.get(name, 0), value)
            time.sleep(0.01)

    sampler = threading.Thread(target=sample)
    sampler.start()
    process.stdin.write("go\n")
    process.stdin.close()
    process.wait()
    done.set()
    sampler.join()
    if process.returncode:
        raise RuntimeError(f"{kind} ended with status {process.returncode}")
    return {name: found[name] - before[name] for name in before}


def memory(pid: int) -> dict[str, int]:
    """MB of the process's own, and with pages of files."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    values = {line.partition(":")[0]: line.split()[1] for line in lines if line.startswith(("RssAnon", "VmRSS"))}
    return {name: int(value) >> 10 for name, value in values.items()}


def main() -> int:
    """Write, load, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1024, help="size of the table")
    parser.add_argument("--folder", type=Path, help="where the files are; default: a temporary folder")
    options = parser.parse_args()
    rows, found = (options.megabytes << 20) // (4 * WIDTH), dict[str, dict[str, int]]()
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        write_checkpoint(folder, rows)
        for name, program, kind in (
            ("written in memory, as before", WRITE_IN_MEMORY, "whole"),
            ("written, table in model.pt", WRITE, "whole"),
            ("loaded, table in model.pt", LOAD, "whole"),
            ("written, table mapped", WRITE, "mapped"),
            ("loaded, table mapped", LOAD, "mapped"),
        ):
            found[name] = peaks(program, folder, rows, kind)
            print(f"{name:<30} own {found[name]['RssAnon']:>6,} MB, with pages of files {found[name]['VmRSS']:>6,} MB")
    print(json.dumps({"megabytes": options.megabytes, **found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
