"""What a run found, told to TorchX's trackers: metrics and where its files are.

`torchx run` names the trackers of its configuration in TORCHX_TRACKERS (README, "Many GPUs, many machines"); without
them nothing is told. A tracker that does not answer costs a run a line, not its results.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.run.folder import RunFolder

TRACKERS, JOB = "TORCHX_TRACKERS", "TORCHX_JOB_ID"
"""Environment variables that TorchX sets for its apps."""


def artifacts(folder: RunFolder) -> dict[str, Path]:
    """The files of a run that a person or a program looks for, of those that there are."""
    named = {
        "config": folder.config,
        "results": folder.results,
        "codesign": folder.codesign,
        "model": folder.model,
        "model_card": folder.model.with_suffix(".json"),
        "report": folder.report,
    }
    return {name: path for name, path in named.items() if path.exists()}


def track(folder: RunFolder, metrics: Mapping[str, Any]) -> None:
    """Tell every configured tracker the metrics and the run's files. Called on rank 0."""
    if not (os.environ.get(TRACKERS) and os.environ.get(JOB)):
        return
    try:
        from torchx.tracker.api import AppRun, trackers_from_environ  # where it is asked for: importing takes time

        run = AppRun(os.environ[JOB], list(trackers_from_environ()))
        if not run.backends:  # TorchX logs why, at a level that nobody sees
            raise ConnectionError(f"none of TORCHX_TRACKERS={os.environ[TRACKERS]} could be opened")
        run.add_metadata(run=folder.path.name, folder=str(folder.path.absolute()), **metrics)
        for name, path in artifacts(folder).items():
            run.add_artifact(name, str(path.absolute()))
    except Exception as error:  # of whatever store the tracker is on
        print(
            f"tracker    {type(error).__name__}: {error}; the run's files are as they are", file=sys.stderr, flush=True
        )
