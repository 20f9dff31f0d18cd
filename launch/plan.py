"""The plan of a run for GPUs that need not be there: one process, no GPU.

    torchx run launch/plan.py -- criteo_terabyte --world-size 8 16 128 --hardware h100

What follows `--` are the options of `python -m pipeline.plan`. Why the file has this form: launch/program.py.
"""

from typing import Dict, List, Optional

from torchx.specs import AppDef

from launch.program import Launch, program_app


def plan(
    *program_args: str,
    cpu: int = 0,
    memMB: int = 0,
    h: Optional[str] = None,
    image: str = "",
    python: str = "",
    env: Optional[Dict[str, str]] = None,
    mounts: Optional[List[str]] = None,
    max_retries: int = 0,
) -> AppDef:
    """Plans a run's tables, memory and step for the GPUs named, and draws plan.html.

    Args:
        program_args: after `--`, the options of `python -m pipeline.plan`
        cpu: cores; 0 is all of this machine's, on a cluster 8
        memMB: memory in MB, for the schedulers that reserve it; 0 is 100,000, here 16,384
        h: a resource registered with TorchX, in place of cpu and memMB
        image: the container image, for the schedulers that run one (Dockerfile makes it)
        python: the interpreter; by default the one TorchX runs in, and in containers the image's `python`
        env: environment variables of the program, NAME=value,NAME=value
        mounts: what containers see of their host, type=bind,src=/host/path,dst=/path[,readonly] and further ones
        max_retries: how often the scheduler may start it again
    """
    launch = Launch("1x1", cpu, 0, memMB, h, image, python, env, max_retries, mounts=mounts)
    return program_app("plan", "pipeline.plan", program_args, launch, has_run=False)
