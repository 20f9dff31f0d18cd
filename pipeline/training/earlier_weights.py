"""The weights of a finished run put into a training of the same network, which goes on with them (`--warm-start`).

Tables, dense weights and their optimizers' state are read, so that what was learned is neither forgotten at once nor
learned twice. A table may have more rows than it had, behind those: new values of the newer log. Their vectors begin as
that of row 1, which stood for them until now, so that no score changes before a step is trained; their accumulators
begin as those of new tables.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from modules.table_prior import TablePrior
from pipeline.data.formats.prepared import OUT_OF_VOCABULARY_ROW
from pipeline.run.checkpoint import Checkpoints
from pipeline.run.folder import RunFolder
from pipeline.run.records.results import SplitMetrics
from pipeline.run.tensor_files import TensorReader, TensorsOnly
from pipeline.session import Session
from pipeline.training.trainee import Trainee, load_tables
from pipeline.warm_start import before_path


def begin_from_earlier(session: Session, trainee: Trainee, stage: str, judge: Callable[[], SplitMetrics]) -> None:
    """Put the earlier run's weights and optimizer state of the same stage into a trainee; every rank calls it.

    `judge()`: the trainee's metrics on the new log's rows; they are kept as what was before (`before_path`). Raises
    ValueError for a checkpoint that is missing, damaged or another model's.
    """
    checkpoints = Checkpoints(RunFolder(Path(session.config.warm_start)).checkpoints(stage), session.processes)
    newest = checkpoints.newest()
    if newest is None:
        raise ValueError(f"{checkpoints.folder}: no checkpoint to go on from; give warm_start another run")
    tensors = trainee.tensors()
    grown = grown_tensors(tensors, newest)
    progress = checkpoints.load(newest, _without(tensors, grown))
    trainee.prior.load_state_dict(progress["prior"])
    for name, tensor in grown.items():
        fill_grown(name, tensor, newest, trainee.prior)
    load_tables(trainee.embeddings, tensors)
    path = before_path(session.folder, stage)
    if not session.exists(path):
        found = judge()
        session.processes.on_first(lambda: path.parent.mkdir(parents=True, exist_ok=True))
        session.write(path, found)


def grown_tensors(tensors: dict[str, Any], checkpoint: Path) -> dict[str, Any]:
    """Tables, and their optimizer's state, that have more rows than in a checkpoint, by the names that they have there.

    Raises ValueError for a damaged index.
    """
    saved = _saved(checkpoint)
    return {
        name: tensor
        for name, tensor in _named(tensors)
        if name in saved and saved[name].size[1:] == tensor.size()[1:] and saved[name].size[0] < tensor.size()[0]
    }


def _saved(checkpoint: Path) -> dict[str, TensorStorageMetadata]:
    """What a checkpoint's index says of each of its tensors."""
    found = TensorReader(checkpoint).read_metadata().state_dict_metadata
    return {name: saved for name, saved in found.items() if isinstance(saved, TensorStorageMetadata)}


def _named(tensors: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The tensors of a nested state by torch.distributed.checkpoint's names: keys joined by dots."""
    for key, value in tensors.items():
        if isinstance(value, dict):
            yield from _named(value, f"{prefix}{key}.")
        elif isinstance(value, Tensor | ShardedTensor) and value.dim():
            yield f"{prefix}{key}", value


def _without(tensors: dict[str, Any], names: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested state without some of its tensors."""
    return {
        key: _without(value, names, f"{prefix}{key}.") if isinstance(value, dict) else value
        for key, value in tensors.items()
        if f"{prefix}{key}" not in names
    }


@torch.no_grad()
def fill_grown(name: str, tensor: Any, checkpoint: Path, prior: TablePrior) -> None:
    """Put the rows of a checkpoint at the beginning of this rank's shards of a tensor, and what is new behind them.

    Each rank reads the whole of what was, one tensor at a time.
    """
    saved = _saved(checkpoint)[name]
    before = torch.empty(saved.size, dtype=saved.properties.dtype)
    dcp.load({name: before}, storage_reader=TensorReader(checkpoint), planner=TensorsOnly(), no_dist=True)
    is_table, table = name.startswith("embeddings."), name.removesuffix(".weight").rpartition(".")[2]
    for own, first, columns in _shards(tensor):
        old = before[first : first + len(own), columns]
        own[: len(old)] = old
        if is_table:
            own[len(old) :] = before[OUT_OF_VOCABULARY_ROW, columns]
        else:
            own[len(old) :] += prior.held_of(table)


def _shards(tensor: Any) -> Iterator[tuple[Tensor, int, Any]]:
    """This rank's parts of a tensor, each with its first row and its columns in the whole."""
    if isinstance(tensor, ShardedTensor):
        for shard in tensor.local_shards():
            offsets = shard.metadata.shard_offsets
            width = shard.tensor.shape[1] if shard.tensor.dim() > 1 else 0
            yield shard.tensor, offsets[0], slice(offsets[1], offsets[1] + width) if width else ...
    else:
        yield tensor, 0, slice(None) if tensor.dim() > 1 else ...
