"""Early stopping by passes: the weights of the pass with the least validation log loss are kept beside the newest."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.run.checkpoint import Checkpoints
from pipeline.training.trainee import Trainee, load_tables


@dataclass
class BestPass:
    """The best pass so far; plain values, saved with every checkpoint."""

    log_loss: float | None = None
    """Its validation log loss, nats per row; None before the first evaluation."""
    step: int = 0
    """Training steps done at its end."""
    is_over: bool = False
    """Whether a later pass was worse, so that training ends."""

    def take(self, log_loss: float, step: int, trainee: Trainee, checkpoints: Checkpoints) -> None:
        """Compare the pass that ended at `step`: keep its weights when it is the best, else training is over."""
        if self.log_loss is not None and not log_loss < self.log_loss:
            self.is_over = True
            return
        self.log_loss, self.step = log_loss, step
        Checkpoints(_folder(checkpoints), checkpoints.processes).save(step, trainee.tensors(), {})

    def restore(self, trainee: Trainee, checkpoints: Checkpoints) -> None:
        """Load the best pass's weights where a later pass was worse."""
        if self.is_over:
            kept = Checkpoints(_folder(checkpoints), checkpoints.processes)
            newest = kept.newest()
            assert newest is not None, "the best pass is dropped once training is finished"
            tensors = trainee.tensors()
            kept.load(newest, tensors)
            load_tables(trainee.embeddings, tensors)

    def drop(self, checkpoints: Checkpoints) -> None:
        """Remove the kept weights, once the stage's own checkpoint holds them."""
        if self.log_loss is not None:
            checkpoints.processes.on_first(lambda: shutil.rmtree(_folder(checkpoints), ignore_errors=True))


def _folder(checkpoints: Checkpoints) -> Path:
    return checkpoints.folder / "best"
