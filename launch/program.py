"""One program of this project as a TorchX app: what the components, the other files of this folder, return.

`1x1` is the plain program. `1xM` puts torchrun's elastic agent in front (agent.py), which starts M processes that find
one another through RANK, WORLD_SIZE and MASTER_ADDR. `NxM` is N such agents, which meet on the first node. `K:NxM` is
N, of which K are enough to go on.

The component files repeat one signature because TorchX reads it from the source: it executes a component file inside a
module of its own, where `__future__` annotations, `list[str]` and `X | None` are not understood, so that such a file
holds imports and one function. Everything else that they have in common is here.

What a node is asked for follows from `-j` on a cluster, whose nodes the machine that asks knows nothing of: a GPU a
process, with cores and memory for each. On this machine it is what this machine has.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torchx
from torchx import specs
from torchx.specs import AppDef, Role, macros

SCHEDULER = "LAUNCH_SCHEDULER"
"""Environment variable in which `torchx run` tells the components its scheduler, which TorchX does not."""
CONTAINERS = ("local_docker", "kubernetes", "kubernetes_mcad", "aws_batch", "aws_sagemaker", "gcp_batch")
"""Schedulers that run a container image."""
CORES_A_PROCESS, MB_A_PROCESS = 8, 100_000
"""What a process is given of a cluster's node unless the command says otherwise. Eight processes, with a GPU each, then
fit AWS's p4d.24xlarge (8 A100 40 GB, 96 virtual cores, 1,152 GiB), the least of the machines pipeline.plan knows."""
RUN_FOLDER = "launch.run_folder"
"""Key of a role's metadata that says where its run is."""
MB_HERE = 16_384
"""Memory that local schedulers, which reserve none, are told."""


def scheduler() -> str:
    """The scheduler that the app is for."""
    return os.environ.get(SCHEDULER, "local_cwd")


def is_on_a_cluster() -> bool:
    """Whether the app is for machines other than this one."""
    return not scheduler().startswith("local")


def nodes_and_processes(j: str) -> tuple[int, int]:
    """Reads TorchX's `-j`: nodes x processes on each. Of `1:2x8`, one node or two, the most.

    >>> nodes_and_processes("2x8"), nodes_and_processes("1:2x8")
    ((2, 8), (2, 8))

    Raises:
        ValueError: `j` is of another form, a number is zero, or the least is above the most.
    """
    match = re.fullmatch(r"(?:([1-9]\d*):)?([1-9]\d*)x([1-9]\d*)", j)
    if match is None or int(match[1] or 1) > int(match[2]):
        raise ValueError(f"-j is nodes x processes on each, such as 1x2, or 1:2x8 for one node or two; found {j!r}")
    return int(match[2]), int(match[3])


def fewest_nodes(j: str) -> int:
    """The nodes with which the programs of `-j` go on when others are lost.

    >>> fewest_nodes("2x8"), fewest_nodes("1:2x8")
    (2, 1)
    """
    nodes, _ = nodes_and_processes(j)
    return int(j.partition(":")[0]) if ":" in j else nodes


def usable_cores() -> int:
    """The cores this process may run on: fewer than the machine's under taskset, in containers and on clusters."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> int:
    """The NVIDIA GPUs a program started here would see; asks the driver's tool, for importing torch takes seconds."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return len([device for device in chosen.split(",") if device.strip() not in ("", "-1")])
    if shutil.which("nvidia-smi") is None:
        return 0
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines()) if listing.returncode == 0 else 0


def command_line(
    python: str,
    module: str,
    program_args: Sequence[str],
    nodes: int,
    processes: int,
    port: int,
    fewest: int | None = None,
    max_restarts: int = 0,
) -> tuple[str, list[str]]:
    """Entry point and arguments of one replica (one node).

    With `max_restarts`, torchrun starts all ranks again when one has failed, on `fewest` nodes or more: the programs
    resume from their last checkpoint, on any number of ranks that share the batch evenly.

    `$` in the program's arguments is doubled, since TorchX substitutes its own macros into what it is given.
    """
    program = [module, *(argument.replace("$", "$$") for argument in program_args)]
    if nodes == processes == 1 and not max_restarts:
        return python, ["-m", *program]
    program = ["-m", "--", *program]  # without the dashes torchrun takes a program's --run for its own --run-path
    at_least = f"{fewest}:" if fewest not in (None, nodes) else ""
    agent = ["-m", "launch.agent", f"--nnodes={at_least}{nodes}", f"--nproc-per-node={processes}"]
    agent += [f"--max-restarts={max_restarts}"] if max_restarts else []
    if nodes == 1:
        return python, [*agent, "--standalone", *program]
    # The schedulers name the first node in an environment variable, which only a shell can put into the command; some
    # leave it empty on that node itself.
    rendezvous = f'"--rdzv-endpoint=$${{{macros.rank0_env}:-localhost}}:{port}"'
    agent += ["--rdzv-backend=c10d", f"--rdzv-id={macros.app_id}"]
    return "bash", ["-c", f"exec {shlex.quote(python)} {' '.join(agent)} {rendezvous} {shlex.join(program)}"]


@dataclass(frozen=True)
class Launch:
    """Where and how a program is started: the options that the components share, in the order of their signature.

    Raises:
        ValueError: `j` is not nodes x processes, or a scheduler that runs containers has no image to run.
    """

    j: str
    """Nodes x processes on each, such as 2x8; both at least 1."""
    cpu: int
    """Cores of a node; 0 is all that this process may use, on a cluster CORES_A_PROCESS."""
    gpu: int
    """GPUs of a node; -1 is one a process: on a cluster, and here as far as this machine has them."""
    memMB: int
    """Memory of a node in MB; 0 is MB_A_PROCESS on a cluster, here MB_HERE."""
    h: str | None
    """A resource registered with TorchX, in place of cpu, gpu and memMB."""
    image: str
    """The container image; empty is TorchX's own."""
    python: str
    """The interpreter; empty is the one that runs this, and in a container the image's `python`."""
    env: Mapping[str, str] | None
    """Environment variables of the program."""
    max_retries: int
    """How often the scheduler may start the app again, or each of its replicas where they are independent."""
    port: int = 29500
    """Where several nodes meet, on the first of them."""
    mounts: Sequence[str] | None = None
    """What containers see of their host, as TorchX reads it: type=bind,src=…,dst=…."""
    max_restarts: int = 0
    """How often torchrun may start the ranks again when one has failed, at least 0; `j` then may be as 1:2x8."""

    def __post_init__(self) -> None:
        nodes_and_processes(self.j)
        if self.max_restarts < 0:
            raise ValueError(f"--max_restarts is {self.max_restarts}; it must be at least 0")
        if ":" in self.j and not self.max_restarts:
            raise ValueError(f"-j is {self.j!r}, which takes --max_restarts: ranks go on with fewer nodes by a restart")
        if scheduler() in CONTAINERS and not self.image:
            raise ValueError(
                f"{scheduler()} runs a container image that holds this project: build it (docker build -t NAME .), "
                "push it where the cluster finds it, and give --image NAME"
            )

    @property
    def processes(self) -> int:
        """The processes of a node."""
        return nodes_and_processes(self.j)[1]

    @property
    def cores(self) -> int:
        """The cores of a node."""
        if self.cpu > 0:
            return self.cpu
        return CORES_A_PROCESS * self.processes if is_on_a_cluster() else usable_cores()

    @property
    def gpus(self) -> int:
        """The GPUs of a node."""
        if self.gpu >= 0:
            return self.gpu
        return self.processes if is_on_a_cluster() else min(self.processes, visible_gpus())

    @property
    def megabytes(self) -> int:
        """The memory of a node."""
        if self.memMB > 0:
            return self.memMB
        return MB_A_PROCESS * self.processes if is_on_a_cluster() else MB_HERE

    @property
    def interpreter(self) -> str:
        """The Python that runs the program."""
        return self.python or ("python" if scheduler() in CONTAINERS else sys.executable)

    def role(self, name: str, entrypoint: str, args: Sequence[str], env: Mapping[str, str]) -> Role:
        """The role `name` that starts `entrypoint` with `args` on every node; the user's variables override `env`."""
        nodes, fewest = nodes_and_processes(self.j)[0], fewest_nodes(self.j)
        return Role(
            name=name,
            image=self.image or torchx.IMAGE,
            entrypoint=entrypoint,
            args=list(args),
            env={**env, **(self.env or {})},
            num_replicas=nodes,
            min_replicas=fewest if fewest < nodes else None,
            max_retries=self.max_retries,
            resource=specs.resource(cpu=self.cores, gpu=self.gpus, memMB=self.megabytes, h=self.h),
            mounts=specs.parse_mounts(list(self.mounts or ())),
        )


def run_folder(program_args: Sequence[str]) -> Path:
    """The folder of the run that a program's arguments name: --runs, and --run or the named run that stands first.

    >>> run_folder(["criteo_terabyte", "--data.path", "x"]), run_folder(["quick", "--run=a", "--runs", "/b"])
    (PosixPath('runs/criteo_terabyte'), PosixPath('/b/a'))
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--run")
    parser.add_argument("--runs", default="runs")
    given = parser.parse_known_args(list(program_args))[0]
    first = program_args[0] if program_args and not program_args[0].startswith("-") else "default"
    return Path(given.runs) / (given.run or first)


def program_app(name: str, module: str, program_args: Sequence[str], launch: Launch, has_run: bool = True) -> AppDef:
    """The app `name` that runs `python -m module` on every rank; `has_run`: it works in a run's folder."""
    nodes, processes = nodes_and_processes(launch.j)
    # torchrun would give every process one thread, a lone process would take all cores of the machine.
    own = None if is_on_a_cluster() else os.environ.get("OMP_NUM_THREADS")
    threads = own or str(max(1, launch.cores // processes))
    again = (fewest_nodes(launch.j), launch.max_restarts)
    entrypoint, args = command_line(launch.interpreter, module, program_args, nodes, processes, launch.port, *again)
    role = launch.role(name, entrypoint, args, {"OMP_NUM_THREADS": threads})
    if has_run:
        role.metadata[RUN_FOLDER] = str(run_folder(program_args))
    if nodes > 1:
        role.port_map = {"c10d": launch.port}
    return AppDef(name=name, roles=[role])


def replicated_app(name: str, module: str, program_args: Sequence[str], launch: Launch) -> AppDef:
    """The app `name` of N programs `python -m module … --replica n --replicas N` that need no process group.

    Raises:
        ValueError: `j` is not Nx1.
    """
    replicas, processes = nodes_and_processes(launch.j)
    if processes != 1 or ":" in launch.j:
        raise ValueError(
            f"-j is {launch.j!r}, but a replica of {name} uses all cores of its node by itself: use {replicas}x1"
        )
    arguments = [argument.replace("$", "$$") for argument in program_args]  # TorchX substitutes its own macros
    args = ["-m", module, *arguments, "--replica", macros.replica_id, "--replicas", str(replicas)]
    role = launch.role(name, launch.interpreter, args, {})
    role.retry_policy = specs.RetryPolicy.REPLICA  # the other replicas keep running meanwhile
    return AppDef(name=name, roles=[role])
