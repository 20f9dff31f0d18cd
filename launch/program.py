"""One program of this project as a TorchX app: what the components search, train, codesign and export return.

`1x1` is the plain program. `1xM` puts torchrun's elastic agent in front (agent.py), which starts M processes that find
one another over RANK, WORLD_SIZE and MASTER_ADDR. `NxM` is N such agents, which meet on the first node.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

import torchx
from torchx import specs
from torchx.specs import AppDef, Role, macros


def nodes_and_processes(j: str) -> tuple[int, int]:
    """Reads TorchX's `-j`: nodes x processes on each.

    >>> nodes_and_processes("2x8")
    (2, 8)

    Raises:
        ValueError: `j` is of another form, or a number is zero. (TorchX's elastic `1:2x8` is refused too: the programs
            restart on any number of ranks, but do not change it under way.)
    """
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", j)
    if match is None:
        raise ValueError(f"-j is nodes x processes on each, such as 1x2; found {j!r}")
    return int(match[1]), int(match[2])


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
    python: str, module: str, program_args: Sequence[str], nodes: int, processes: int, port: int
) -> tuple[str, list[str]]:
    """Entry point and arguments of one replica (one node).

    `$` in the program's arguments is doubled, since TorchX substitutes its own macros into what it is given.
    """
    program = [module, *(argument.replace("$", "$$") for argument in program_args)]
    if nodes == processes == 1:
        return python, ["-m", *program]
    program = ["-m", "--", *program]  # without the dashes torchrun takes a program's --run for its own --run-path
    agent = ["-m", "launch.agent", f"--nnodes={nodes}", f"--nproc-per-node={processes}"]
    if nodes == 1:
        return python, [*agent, "--standalone", *program]
    # The schedulers name the first node in an environment variable, which only a shell can put into the command; some
    # leave it empty on that node itself.
    rendezvous = f'"--rdzv-endpoint=$${{{macros.rank0_env}:-localhost}}:{port}"'
    agent += ["--rdzv-backend=c10d", f"--rdzv-id={macros.app_id}"]
    return "bash", ["-c", f"exec {shlex.quote(python)} {' '.join(agent)} {rendezvous} {shlex.join(program)}"]


def program_app(
    name: str,
    module: str,
    program_args: Sequence[str],
    *,
    j: str,
    cpu: int,
    gpu: int,
    memMB: int,
    h: str | None,
    image: str,
    python: str,
    env: Mapping[str, str] | None,
    max_retries: int,
    port: int,
) -> AppDef:
    """The app `name` that runs `python -m module` on every rank; the other arguments are explained in the components.

    Raises:
        ValueError: `j` is not nodes x processes.
    """
    nodes, processes = nodes_and_processes(j)
    cores = cpu if cpu > 0 else usable_cores()
    gpus = gpu if gpu >= 0 else min(processes, visible_gpus())
    # torchrun would give every process one thread, a lone process would take all cores of the machine.
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores // processes))
    entrypoint, args = command_line(python or sys.executable, module, program_args, nodes, processes, port)
    role = Role(
        name=name,
        image=image or torchx.IMAGE,
        entrypoint=entrypoint,
        args=args,
        env={"OMP_NUM_THREADS": threads, **(env or {})},
        num_replicas=nodes,
        max_retries=max_retries,
        resource=specs.resource(cpu=cores, gpu=gpus, memMB=memMB, h=h),
        port_map={"c10d": port} if nodes > 1 else {},
    )
    return AppDef(name=name, roles=[role])


def replicated_app(
    name: str,
    module: str,
    program_args: Sequence[str],
    *,
    j: str,
    cpu: int,
    memMB: int,
    h: str | None,
    image: str,
    python: str,
    env: Mapping[str, str] | None,
    max_retries: int,
) -> AppDef:
    """The app `name` of N programs `python -m module … --replica n --replicas N` that need no process group.

    Raises:
        ValueError: `j` is not Nx1.
    """
    replicas, processes = nodes_and_processes(j)
    if processes != 1:
        raise ValueError(f"-j is {j!r}, but a replica of {name} uses all cores of its node by itself: use {replicas}x1")
    arguments = [argument.replace("$", "$$") for argument in program_args]  # TorchX substitutes its own macros
    role = Role(
        name=name,
        image=image or torchx.IMAGE,
        entrypoint=python or sys.executable,
        args=["-m", module, *arguments, "--replica", macros.replica_id, "--replicas", str(replicas)],
        env=dict(env or {}),
        num_replicas=replicas,
        max_retries=max_retries,
        retry_policy=specs.RetryPolicy.REPLICA,  # the others go on meanwhile
        resource=specs.resource(cpu=cpu if cpu > 0 else usable_cores(), gpu=0, memMB=memMB, h=h),
    )
    return AppDef(name=name, roles=[role])
