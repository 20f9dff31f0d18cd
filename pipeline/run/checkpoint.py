"""Checkpoints: torch.distributed.checkpoint in a folder that appears whole, with checksums, and is read back checked.

<stage>/step_00000400/    the tensors (DCP; resharded when read on another number of ranks)
    progress.json         position in the data, generator, step: plain JSON
    checksums.json        size and CRC-32 of every file; its presence makes the checkpoint complete
"""

import shutil
import zlib
from pathlib import Path
from typing import Any

import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException  # not an Exception, but a BaseException

from pipeline.run.files import read_json, sync_folder, write_json
from pipeline.run.processes import Processes

CHUNK_BYTES = 1 << 22


class Checkpoints:
    """The checkpoints of one stage; only the newest complete one is kept."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder, self.processes = folder, processes

    def newest(self) -> Path | None:
        """The newest complete checkpoint, if there is one. The same on every rank."""
        return self.processes.on_first(lambda: _newest(self.folder))

    def save(self, step: int, tensors: dict[str, Any], progress: dict[str, Any]) -> None:
        """Write a checkpoint, then drop the older ones. Every rank calls it; a kill at any moment loses nothing.

        Raises OSError when it cannot be written (disk full); the older checkpoint is then still there.
        """
        final = self.folder / f"step_{step:08d}"
        partial = self.folder / f"partial_{step:08d}"
        try:
            self.processes.on_first(lambda: _fresh_folder(partial))
            dcp.save(tensors, checkpoint_id=str(partial))
            own = [path for path in sorted(partial.iterdir()) if _written_by(path.name, self.processes.rank)]
            gathered = self.processes.gather({path.name: _checksum(path) for path in own})
            checksums = {name: entry for part in gathered for name, entry in part.items()}
            self.processes.on_first(lambda: _finish(partial, final, progress, checksums))
        except (Exception, CheckpointException) as error:  # met by all ranks: DCP and on_first hand it on
            self.processes.on_first(lambda: shutil.rmtree(partial, ignore_errors=True))
            raise OSError(
                f"{final}: the checkpoint could not be written ({_root(error)}); is the disk full? "
                "Make room and run the same command again: the earlier checkpoint is kept"
            ) from error

    def load(self, checkpoint: Path, tensors: dict[str, Any]) -> dict[str, Any]:
        """Read a checkpoint into the tensors given, in place; returns its progress.

        Raises ValueError naming the file when one is damaged or missing, or when it holds other tensors.
        """
        verify(checkpoint, self.processes)
        try:
            dcp.load(tensors, checkpoint_id=str(checkpoint))
        except (Exception, CheckpointException) as error:
            raise ValueError(
                f"{checkpoint}: not a checkpoint of this model ({_root(error)}); "
                "use the configuration it was written with, or remove the folder to start this stage again"
            ) from error
        progress: dict[str, Any] = read_json(checkpoint / "progress.json")
        return progress


def verify(checkpoint: Path, processes: Processes) -> None:
    """Raise ValueError, on every rank, when a file of the checkpoint is missing or damaged. Ranks share the reading."""
    checksums = processes.on_first(lambda: _read_checksums(checkpoint / "checksums.json"))
    problems = []
    for index, (name, expected) in enumerate(sorted(checksums.items())):
        if index % processes.world_size == processes.rank:
            path = checkpoint / name
            found = _checksum(path) if path.exists() else None
            if found != expected:
                what = "is missing" if found is None else f"has {found}, expected {expected}"
                problems.append(f"{path} {what}")
    everything = [problem for part in processes.gather(problems) for problem in part]
    if everything:
        raise ValueError(
            f"damaged checkpoint: {'; '.join(everything)}; "
            f"remove {checkpoint} to start this stage again, or put the file back"
        )


def _read_checksums(path: Path) -> dict[str, Any]:
    checksums = read_json(path)
    if not isinstance(checksums, dict) or "progress.json" not in checksums:
        raise ValueError(f"{path}: not the checksums of a checkpoint; remove {path.parent} to start this stage again")
    return checksums


def steps_done(checkpoint: Path) -> int:
    """The training steps after which a checkpoint was written.

    >>> steps_done(Path("checkpoints/supernet/step_00000400"))
    400
    """
    return int(checkpoint.name.removeprefix("step_"))


def _newest(folder: Path) -> Path | None:
    if not folder.exists():
        return None
    return max((path for path in folder.glob("step_*") if (path / "checksums.json").exists()), default=None)


def _finish(partial: Path, final: Path, progress: dict[str, Any], checksums: dict[str, Any]) -> None:
    """Give a folder of written tensors its progress, checksums and final name, and drop what is older."""
    write_json(partial / "progress.json", progress)
    checksums = {**checksums, "progress.json": _checksum(partial / "progress.json")}
    write_json(partial / "checksums.json", checksums)
    if final.exists():
        shutil.rmtree(final)
    partial.rename(final)
    sync_folder(final.parent)  # before the older ones go
    for other in final.parent.iterdir():
        if other != final and other.name.startswith(("step_", "partial_")):
            shutil.rmtree(other)


def _fresh_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _written_by(name: str, rank: int) -> bool:
    """Whether DCP's rank `rank` wrote this file: `__<rank>_<n>.distcp`, or the metadata on rank 0."""
    return name.startswith(f"__{rank}_") or (rank == 0 and name == ".metadata")


def _checksum(path: Path) -> dict[str, int]:
    crc, size = 0, 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            crc, size = zlib.crc32(chunk, crc), size + len(chunk)
    return {"bytes": size, "crc32": crc}


def _root(error: BaseException) -> str:
    """What went wrong at the bottom of an exception's chain, in one line."""
    if isinstance(error, CheckpointException):  # rank -> (exception, traceback)
        error = next(iter(error.failures.values()))[0]
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip().splitlines()[-1] if str(error).strip() else 'no message'}"
