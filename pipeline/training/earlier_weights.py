"""The weights of a finished run put into a training of the same network, which goes on with them (`--warm-start`).

Tables, dense weights and their optimizers' state are read, so that what was learned is neither forgotten at once nor
learned twice.
"""

from collections.abc import Callable
from pathlib import Path

from pipeline.run.checkpoint import Checkpoints
from pipeline.run.folder import RunFolder
from pipeline.run.records.results import SplitMetrics
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
    progress = checkpoints.load(newest, tensors)
    load_tables(trainee.embeddings, tensors)
    trainee.prior.load_state_dict(progress["prior"])
    path = before_path(session.folder, stage)
    if not session.exists(path):
        found = judge()
        session.processes.on_first(lambda: path.parent.mkdir(parents=True, exist_ok=True))
        session.write(path, found)
