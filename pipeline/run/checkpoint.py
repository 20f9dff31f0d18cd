"""Checkpoints: torch.distributed.checkpoint in a folder that appears whole, with checksums, and is read back checked.

<stage>/step_00000400/    rank_00000.tensors, …, tensors.json: resharded when read on another number of ranks
    progress.json         position in the data, generator, step: plain JSON
    checksums.json        size and CRC-32 of every file; its presence makes the checkpoint complete
<stage>/partial_00000400/ one that is being written
<stage>/damaged_00000400/ one that could not be loaded; it goes when the next one is complete
"""

import re
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torch.distributed.checkpoint.api import CheckpointException  # not an Exception, but a BaseException
from tqdm import tqdm

from pipeline.run.files import read_json, sync_folder, write_json
from pipeline.run.processes import Processes
from pipeline.run.tensor_files import CHUNK_BYTES, INDEX, FileSum, TensorReader, TensorsOnly, TensorWriter

STEP, PARTIAL, DAMAGED = "step_", "partial_", "damaged_"


class Damaged(ValueError):
    """A checkpoint that cannot be loaded: a file is missing, cut or changed, or a value is not finite."""


class Checkpoints:
    """The checkpoints of one stage."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder, self.processes = folder, processes

    def newest(self) -> Path | None:
        """The newest complete checkpoint, if there is one. The same on every rank."""
        return self.processes.on_first(lambda: next(iter(complete(self.folder)), None))

    def save(self, step: int, tensors: dict[str, Any], progress: dict[str, Any], kept: int = 1) -> None:
        """Write a checkpoint, then drop all but the newest `kept`. Every rank calls it; a kill at any moment loses
        nothing.

        Raises OSError when it cannot be written (disk full); the older ones are then still there.
        """
        try:
            dcp.save(without_empty(tensors), storage_writer=self.writer(step, progress, kept))
        except (Exception, CheckpointException) as error:  # met by all ranks: DCP hands it on
            advice = "Make room and run the same command again: the earlier checkpoint is kept"
            raise OSError(f"{self.remove_partial(step, error)} {advice}") from error

    def writer(self, step: int, progress: dict[str, Any], kept: int) -> TensorWriter:
        """What DCP writes a checkpoint by; it is complete when DCP has done."""
        final, partial = self._folder(STEP, step), self._folder(PARTIAL, step)
        return TensorWriter(
            partial,
            begin=lambda: _fresh_folder(partial),
            finish=lambda sums: _finish(partial, final, progress, sums, kept),
        )

    def remove_partial(self, step: int, error: BaseException) -> str:
        """Remove what there is of a checkpoint that could not be written; returns a line about it."""
        self.processes.on_first(lambda: shutil.rmtree(self._folder(PARTIAL, step), ignore_errors=True))
        what = f"the checkpoint could not be written ({_root(error)}); is the disk full?"
        return f"{self._folder(STEP, step)}: {what}"

    def load(self, checkpoint: Path, tensors: dict[str, Any]) -> dict[str, Any]:
        """Read a checkpoint into the tensors given, in place; returns its progress.

        Raises Damaged naming the file when one is damaged or missing, or a value is not finite, and ValueError when it
        holds other tensors.
        """
        verify(checkpoint, self.processes)
        try:
            dcp.load(without_empty(tensors), storage_reader=TensorReader(checkpoint), planner=TensorsOnly())
        except (Exception, CheckpointException) as error:
            raise ValueError(
                f"{checkpoint}: not a checkpoint of this model ({_root(error)}); "
                "use the configuration it was written with, or remove the folder to start this stage again"
            ) from error
        if not all(self.processes.gather(is_finite(tensors))):
            raise Damaged(
                f"damaged checkpoint: {checkpoint} holds a value that is not finite; "
                f"remove {checkpoint} to start this stage again"
            )
        progress: dict[str, Any] = read_json(checkpoint / "progress.json")
        return progress

    def load_newest(self, tensors: dict[str, Any]) -> dict[str, Any] | None:
        """Read the newest checkpoint that is intact into the tensors given; returns its progress, None where there is
        none at all.

        A damaged one is set aside, and a line says so. Raises Damaged when there is none before it.
        """
        found = self.processes.on_first(lambda: complete(self.folder))
        for number, checkpoint in enumerate(found):
            try:
                return self.load(checkpoint, tensors)
            except Damaged as error:
                if number == len(found) - 1:
                    raise
                self.processes.on_first(lambda checkpoint=checkpoint: self._set_aside(checkpoint))  # type: ignore[misc]
                if self.processes.is_first:
                    tqdm.write(f"{str(error).rpartition('; remove ')[0]}; the one before it is taken")
        return None

    def keep_newest(self) -> None:
        """Remove every other checkpoint of the stage."""
        self.processes.on_first(lambda: _drop_others(self.folder, set(complete(self.folder)[:1])))

    def _set_aside(self, checkpoint: Path) -> None:
        aside = self._folder(DAMAGED, steps_done(checkpoint))
        shutil.rmtree(aside, ignore_errors=True)
        checkpoint.rename(aside)

    def _folder(self, kind: str, step: int) -> Path:
        return self.folder / f"{kind}{step:08d}"


def complete(folder: Path) -> list[Path]:
    """The complete checkpoints in a stage's folder, the newest first."""
    found = [path for path in folder.glob(f"{STEP}*") if re.fullmatch(rf"{STEP}\d+", path.name)]
    return sorted((path for path in found if (path / "checksums.json").exists()), key=steps_done, reverse=True)


def without_empty(tensors: dict[str, Any]) -> dict[str, Any]:
    """Nested tensors without dictionaries that hold none: for DCP such a one is an object, and a rank without tables
    has some.

    >>> without_empty({"a": {"b": 1, "c": {}}, "d": {"e": {}}})
    {'a': {'b': 1}}
    """
    kept = {key: without_empty(value) if isinstance(value, dict) else value for key, value in tensors.items()}
    return {key: value for key, value in kept.items() if not isinstance(value, dict) or value}


def is_finite(tensors: Any) -> bool:
    """Whether this rank's part of nested tensors is finite. Without a copy of a tensor's size: both extremes are NaN
    where any element is."""
    for tensor in _local(tensors):
        if tensor.numel() and tensor.is_floating_point():
            low, high = torch.aminmax(tensor.detach())
            if not bool(low.isfinite() & high.isfinite()):
                return False
    return True


def _local(tensors: Any) -> Iterator[Tensor]:
    """This rank's tensors in a nested state."""
    if isinstance(tensors, dict):
        for value in tensors.values():
            yield from _local(value)
    elif isinstance(tensors, ShardedTensor):
        yield from (shard.tensor for shard in tensors.local_shards())
    else:
        yield tensors


def verify(checkpoint: Path, processes: Processes) -> None:
    """Raise Damaged, on every rank, when a file of the checkpoint is missing or changed. Ranks share the reading."""
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
        raise Damaged(
            f"damaged checkpoint: {'; '.join(everything)}; "
            f"remove {checkpoint} to start this stage again, or put the file back"
        )


def _read_checksums(path: Path) -> dict[str, Any]:
    try:
        checksums = read_json(path)
        if not isinstance(checksums, dict) or not {"progress.json", INDEX} <= checksums.keys():
            raise ValueError(f"{path}: not the checksums of a checkpoint")
        if any(Path(name).name != name for name in checksums):
            raise ValueError(f"{path}: names a file outside its folder")
    except ValueError as error:
        raise Damaged(f"damaged checkpoint: {error}; remove {path.parent} to start this stage again") from error
    return checksums


def steps_done(checkpoint: Path) -> int:
    """The training steps after which a checkpoint was written.

    >>> steps_done(Path("checkpoints/supernet/step_00000400"))
    400
    """
    return int(checkpoint.name.removeprefix("step_"))


def _finish(partial: Path, final: Path, progress: dict[str, Any], sums: dict[str, FileSum], kept: int) -> None:
    """Give a folder of written tensors its progress, checksums and final name, and drop what is older."""
    write_json(partial / "progress.json", progress)
    own = {name: _checksum(partial / name) for name in (INDEX, "progress.json")}
    written = {name: {"bytes": found.bytes, "crc32": found.crc32} for name, found in sums.items()}
    write_json(partial / "checksums.json", {**written, **own})
    if final.exists():
        shutil.rmtree(final)
    partial.rename(final)
    sync_folder(final.parent)  # before the older ones go
    older = [path for path in complete(final.parent) if steps_done(path) < steps_done(final)]
    _drop_others(final.parent, {final, *older[: kept - 1]})


def _drop_others(folder: Path, kept: set[Path]) -> None:
    for other in folder.iterdir():
        if other not in kept and other.name.startswith((STEP, PARTIAL, DAMAGED)):
            shutil.rmtree(other)


def _fresh_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


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
