"""A training that takes milliseconds: one table, a few dense weights, a stream of given length."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchrec import EmbeddingBagConfig

from modules.embeddings import shard_embeddings
from modules.supernet import SlicedAdagrad
from modules.table_prior import TablePrior, accumulators
from pipeline.data import Batch
from pipeline.run.folder import RunFolder
from pipeline.run.processes import Processes
from pipeline.training.config import TrainingConfig
from pipeline.training.loop import train
from pipeline.training.trainee import Trainee, whole

TABLES = [EmbeddingBagConfig(name="t", feature_names=["f"], num_embeddings=10, embedding_dim=4)]
BATCH = 8
"""Rows a step, of all ranks together."""


class Interaction(nn.Module):
    """A linear model of the dense input and the looked-up vector, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((5,), 0.1))

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """Dense [B, 1], sparse [B, 1, 4] → logit [B]."""
        rows = torch.cat([dense, sparse.flatten(1)], dim=1)
        return nn.functional.dropout(rows, 0.3, self.training) @ self.weight


class Rows:
    """A stream of `steps` batches, with a position; `before(step)` is called before each is given out."""

    def __init__(
        self,
        processes: Processes,
        steps: int,
        spoiled: frozenset[int] = frozenset(),
        before: Callable[[int], None] = lambda step: None,
    ) -> None:
        self.processes, self.steps, self.spoiled, self.before, self.position = processes, steps, spoiled, before, 0

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        while self.position < self.steps:
            step, ranks = self.position, self.processes.world_size
            self.before(step)
            generator = torch.Generator().manual_seed(step)
            own = slice(BATCH // ranks * self.processes.rank, BATCH // ranks * (self.processes.rank + 1))
            ids = torch.randint(10, (1, BATCH), generator=generator)
            label = (torch.rand(BATCH, generator=generator) < 0.5).float()
            dense = torch.rand(BATCH, 1, generator=generator)
            if step in self.spoiled:
                dense.fill_(torch.inf)
            self.position += 1
            yield Batch.of_ids(dense[own], ids[:, own].contiguous(), label[own], ["f"])

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.position = state["position"]


def config_of(**changes: Any) -> TrainingConfig:
    """No checkpoints but the last, unless asked for."""
    plain = {"batch_size": BATCH, "log_every": 5, "checkpoint_minutes": 0.0, "schedule": "constant"}
    return TrainingConfig(**{**plain, "warm_up_share": 0.0, "table_prior_count": 2.0, **changes})


def new_trainee(config: TrainingConfig, processes: Processes) -> Trainee:
    """A small network beside one table."""
    network = Interaction().train()
    tables = shard_embeddings(TABLES, processes.device, BATCH, config.table_learning_rate, config.epsilon, seed=5)
    parameters = dict(network.named_parameters())
    prior = TablePrior(tables, config.table_prior_count)
    return Trainee(tables, parameters, whole(network), SlicedAdagrad(parameters), prior, seed=5)


def weights(trainee: Trainee) -> list[Tensor]:
    """This rank's dense weights, table rows, accumulators and dense optimizer, copied."""
    tables = [shard.tensor for table in trainee.embeddings.state_dict().values() for shard in table.local_shards()]
    states = trainee.optimizer.state_dict().values()
    found = [*trainee.parameters.values(), *tables, *accumulators(trainee.embeddings), *states]
    return [tensor.detach().clone() for tensor in found]


def trained(
    folder: Path, processes: Processes, steps: int = 20, stream: Rows | None = None, **changes: Any
) -> list[Tensor]:
    """Train in a run's folder, from where it stands; returns the weights."""
    config = config_of(**changes)
    trainee = new_trainee(config, processes)
    rows: Any = stream or Rows(processes, steps)
    train(trainee, rows, config, RunFolder(folder), "stage", processes)
    return weights(trainee)


def checkpoints(folder: Path) -> list[str]:
    """Names of what lies among the stage's checkpoints."""
    stage = RunFolder(folder).checkpoints("stage")
    return sorted(path.name for path in stage.iterdir() if path.is_dir()) if stage.exists() else []


def is_equal(first: list[Tensor], second: list[Tensor]) -> bool:
    """Bit by bit."""
    return len(first) == len(second) and all(map(torch.equal, first, second))
