"""A fresh Python process, for what must not depend on what this one has done or imported."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence


def run_python(arguments: Sequence[str], environment: Mapping[str, str], what: str) -> str:
    """What a fresh Python process without GPUs prints. RuntimeError with the end of its stderr if it fails."""
    process = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment},
        capture_output=True,
        text=True,
    )
    if process.returncode != 0:
        raise RuntimeError(f"{what} failed (exit status {process.returncode}): {process.stderr[-2000:]}")
    return process.stdout
