"""One program of this project as a TorchX app: what the components search, train, codesign, export and prepare return.

`1x1` is the plain program. `1xM` puts torchrun's elastic agent in front (agent.py), which starts M processes that find
one another through RANK, WORLD_SIZE and MASTER_ADDR. `NxM` is N such agents, which meet on the first node. `K:NxM` is
N, of which K are enough to go on.

The component files repeat one signature because TorchX reads it from the source: it executes a component file inside a
module of its own, where `__future__` annotations, `list[str]` and `X | None` are not understood, so that such a file
holds imports and one function. Everything else that they have in common is here.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torchx
from torchx import specs
from torchx.specs import AppDef, Role, macros


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
        ValueError: `j` is not nodes x processes.
    """

    j: str
    """Nodes x processes on each, such as 2x8; both at least 1."""
    cpu: int
    """Cores of a node; 0 is all that this process may use."""
    gpu: int
    """GPUs of a node; -1 is one a process, as far as this machine has them."""
    memMB: int
    """Memory of a node in MB."""
    h: str | None
    """A resource registered with TorchX, in place of cpu, gpu and memMB."""
    image: str
    """The container image; empty is TorchX's own."""
    python: str
    """The interpreter; empty is the one that runs this."""
    env: Mapping[str, str] | None
    """Environment variables of the program."""
    max_retries: int
    """How often the scheduler may start the app again, or each of its replicas where they are independent."""
    port: int = 29500
    """Where several nodes meet, on the first of them."""
    max_restarts: int = 0
    """How often torchrun may start the ranks again when one has failed, at least 0; `j` then may be as 1:2x8."""

    def __post_init__(self) -> None:
        nodes_and_processes(self.j)
        if self.max_restarts < 0:
            raise ValueError(f"--max_restarts is {self.max_restarts}; it must be at least 0")
        if ":" in self.j and not self.max_restarts:
            raise ValueError(f"-j is {self.j!r}, which takes --max_restarts: ranks go on with fewer nodes by a restart")

    @property
    def cores(self) -> int:
        """The cores of a node."""
        return self.cpu if self.cpu > 0 else usable_cores()

    @property
    def gpus(self) -> int:
        """The GPUs of a node."""
        return self.gpu if self.gpu >= 0 else min(nodes_and_processes(self.j)[1], visible_gpus())

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
            resource=specs.resource(cpu=self.cores, gpu=self.gpus, memMB=self.memMB, h=self.h),
        )


def program_app(name: str, module: str, program_args: Sequence[str], launch: Launch) -> AppDef:
    """The app `name` that runs `python -m module` on every rank."""
    nodes, processes = nodes_and_processes(launch.j)
    # torchrun would give every process one thread, a lone process would take all cores of the machine.
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, launch.cores // processes))
    python = launch.python or sys.executable
    again = (fewest_nodes(launch.j), launch.max_restarts)
    entrypoint, args = command_line(python, module, program_args, nodes, processes, launch.port, *again)
    role = launch.role(name, entrypoint, args, {"OMP_NUM_THREADS": threads})
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
    role = launch.role(name, launch.python or sys.executable, args, {})
    role.retry_policy = specs.RetryPolicy.REPLICA  # the other replicas keep running meanwhile
    return AppDef(name=name, roles=[role])
