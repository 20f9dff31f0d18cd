"""Raw click logs into Parquet ready to train on, on one machine or many.

    torchx run launch/prepare.py [-j 8x1] -- --path ../logs --schema criteo --folder /shared/prepared

What follows `--` are the options of `python -m pipeline.data.prepare`. The N replicas of `-j Nx1` divide the files
among themselves and synchronize through the folder, which all of them must see. There is no process group, so that the
scheduler can restart a lost replica alone. Why the file has this form: launch/program.py.
"""

from typing import Dict, List, Optional

from torchx.specs import AppDef

from launch.program import Launch, replicated_app


def prepare(
    *program_args: str,
    j: str = "1x1",
    cpu: int = 0,
    memMB: int = 0,
    h: Optional[str] = None,
    image: str = "",
    python: str = "",
    env: Optional[Dict[str, str]] = None,
    mounts: Optional[List[str]] = None,
    max_retries: int = 3,
) -> AppDef:
    """Numbers categories, transforms integers and writes Parquet with schema, statistics and checksums.

    Args:
        program_args: after `--`, the options of `python -m pipeline.data.prepare`
        j: replicas x 1; each replica is one program that uses all cores of its node
        cpu: cores of a node; 0 is all of this machine's, on a cluster 8
        memMB: memory of a node in MB, for the schedulers that reserve it; 0 is 100,000, here 16,384
        h: a resource registered with TorchX, in place of cpu and memMB
        image: the container image, for the schedulers that run one (Dockerfile makes it)
        python: the interpreter; by default the one TorchX runs in, and in containers the image's `python`
        env: environment variables of the program, NAME=value,NAME=value
        mounts: what containers see of their host, type=bind,src=/host/path,dst=/path[,readonly] and further ones
        max_retries: how often the scheduler may start a lost replica again; it resumes where it stopped
    """
    launch = Launch(j, cpu, 0, memMB, h, image, python, env, max_retries, mounts=mounts)
    return replicated_app("prepare", "pipeline.data.prepare", program_args, launch)
