"""The race of a run's contenders from scratch.

    torchx run launch/race.py [-j 1x2] [-- --run mine]

What follows `--` are the options of `python -m pipeline.race`. Why the file has this form: launch/program.py.
"""

from typing import Dict, List, Optional

from torchx.specs import AppDef

from launch.program import Launch, program_app


def race(
    *program_args: str,
    j: str = "1x1",
    cpu: int = 0,
    gpu: int = -1,
    memMB: int = 0,
    h: Optional[str] = None,
    image: str = "",
    python: str = "",
    env: Optional[Dict[str, str]] = None,
    mounts: Optional[List[str]] = None,
    max_retries: int = 0,
    port: int = 29500,
    max_restarts: int = 0,
) -> AppDef:
    """Trains contenders from scratch on growing shares of rows and finds the finalists.

    Args:
        program_args: after `--`, the options of `python -m pipeline.race`
        j: nodes x processes on each, one process a GPU; 1:2x8 is two nodes, of which one is enough to go on
        cpu: cores of a node, shared among its processes; 0 is all of this machine's, on a cluster 8 a process
        gpu: GPUs of a node; -1 is one a process: on a cluster, and here as far as this machine has them
        memMB: memory of a node in MB, for the schedulers that reserve it; 0 is 100,000 a process, here 16,384
        h: a resource registered with TorchX, in place of cpu, gpu and memMB
        image: the container image, for the schedulers that run one (Dockerfile makes it)
        python: the interpreter; by default the one TorchX runs in, and in containers the image's `python`
        env: environment variables of the program, NAME=value,NAME=value
        mounts: what containers see of their host, type=bind,src=/host/path,dst=/path[,readonly] and further ones
        max_retries: how often the scheduler may start it again; it resumes where it stopped
        port: where the nodes meet on the first of them, when there are several
        max_restarts: how often all processes may be started again when one has failed; they resume where they stopped
    """
    launch = Launch(j, cpu, gpu, memMB, h, image, python, env, max_retries, port, mounts, max_restarts)
    return program_app("race", "pipeline.race", program_args, launch)
