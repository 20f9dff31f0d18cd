"""Settings of the server (python -m pipeline.serve); read without torch."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import tyro

from pipeline.serving.names import FileFormat

ServedFormat = Literal["auto", "torchscript", "pt2", "onnx"]
"""A file's format, or auto: model.pt2 where the export has one, else model.pt."""


@dataclass(frozen=True)
class ServeConfig:
    """Serve an exported model over HTTP: POST /score, GET /health, GET /metrics."""

    model: tyro.conf.Positional[str]
    """The folder that holds model.json and the files that it describes: a run's, or one they were copied into."""
    format: ServedFormat = "auto"
    """Which of the files scores: torchscript, pt2, onnx, or auto: model.pt2 where there is one, else model.pt."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is all of the machine's."""
    port: int = 8080
    """Port to listen on, 1 to 65,535."""
    workers: int = 0
    """Processes, each with one thread and a model of its own; 0: one for each core."""
    batch_rows: int = 1024
    """Rows that waiting requests are put together into for one call of the model, at most; at least 1."""
    wait_ms: float = 1.0
    """Milliseconds that a request may wait for others to be scored with, at least 0: a call for eight rows costs
    little more than one for a single row."""
    body_mb: float = 32.0
    """Largest body of a request in MB, above 0."""
    look_s: float = 1.0
    """Seconds between looks for a new model.json, above 0: a model that was exported anew is served from then on."""

    def __post_init__(self) -> None:
        if self.format not in get_args(ServedFormat):
            raise ValueError(f"format is {self.format!r}; choose one of {list(get_args(ServedFormat))}")
        if not 1 <= self.port <= 65_535:
            raise ValueError(f"port is {self.port}; it must be 1 to 65535")
        for name, least in (("workers", 0), ("batch_rows", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not self.wait_ms >= 0:
            raise ValueError(f"wait_ms is {self.wait_ms}; it must be at least 0")
        for name in ("body_mb", "look_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")

    @property
    def card(self) -> Path:
        """model.json."""
        return Path(self.model) / "model.json"

    @property
    def processes(self) -> int:
        """How many workers there are."""
        return self.workers or len(os.sched_getaffinity(0))


def chosen_format(wanted: ServedFormat, present: tuple[FileFormat, ...]) -> FileFormat:
    """The format to serve of those that the export has; ValueError where the wanted one is not among them.

    >>> chosen_format("auto", ("torchscript", "pt2")), chosen_format("auto", ("torchscript", "onnx"))
    ('pt2', 'torchscript')
    """
    if wanted == "auto":
        return "pt2" if "pt2" in present else "torchscript"
    if wanted not in present:
        raise ValueError(f"format is {wanted!r}, and the export has {list(present)}; export it (--export.formats)")
    return wanted
