"""pipeline/training/best_pass.py and passes in the loop: the best pass is what is left, resumed or not."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchrec import EmbeddingBagConfig

from modules.embeddings import UNKNOWN_ROW, shard_embeddings
from modules.supernet import SlicedAdagrad
from modules.table_prior import TablePrior, accumulators
from pipeline.data import Batch
from pipeline.run.checkpoint import Checkpoints
from pipeline.run.folder import RunFolder
from pipeline.run.processes import Processes, join
from pipeline.training.config import TrainingConfig
from pipeline.training.loop import train
from pipeline.training.trainee import Trainee, whole

TABLES = [EmbeddingBagConfig(name="t", feature_names=["f"], num_embeddings=10, embedding_dim=4)]
STEPS = 3


class Interaction(nn.Module):
    """A linear model of the dense input and the looked-up vector, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((5,), 0.1))

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """Dense [B, 1], sparse [B, 1, 4] → logit [B]."""
        rows = torch.cat([dense, sparse.flatten(1)], dim=1)
        return torch.nn.functional.dropout(rows, 0.3, self.training) @ self.weight


class Rows:
    """A stream of `epochs` passes over STEPS batches, with a position."""

    def __init__(self, epochs: int) -> None:
        self.epochs, self.position = epochs, 0

    def __len__(self) -> int:
        return STEPS * self.epochs

    def __iter__(self) -> Iterator[Batch]:
        while self.position < len(self):
            generator = torch.Generator().manual_seed(self.position)
            self.position += 1
            ids = torch.randint(10, (1, 8), generator=generator)
            label = (torch.rand(8, generator=generator) < 0.5).float()
            yield Batch.of_ids(torch.rand(8, 1, generator=generator), ids, label, ["f"])

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = state["position"]


def new_trainee(config: TrainingConfig, processes: Processes) -> Trainee:
    """A small network beside one table."""
    network = Interaction().train()
    tables = shard_embeddings(TABLES, processes.device, 8, config.table_learning_rate, config.epsilon, seed=5)
    parameters = dict(network.named_parameters())
    optimizer = SlicedAdagrad(parameters)
    return Trainee(tables, parameters, whole(network), optimizer, TablePrior(tables, config.table_prior_count), seed=5)


def weights(trainee: Trainee) -> list[Tensor]:
    """Dense weights, table rows and accumulators, copied."""
    tables = [table.local_shards()[0].tensor for table in trainee.embeddings.state_dict().values()]
    found = [*trainee.parameters.values(), *tables, *accumulators(trainee.embeddings)]
    return [tensor.detach().clone() for tensor in found]


def train_with(
    folder: Path,
    config: TrainingConfig,
    losses: list[float],
    stop: int | None = None,
    finish: Callable[[Mapping[str, Tensor]], None] = lambda parameters: None,
) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Train with these validation losses; the weights left, and those at the end of each pass. `stop`: be killed so."""
    folder.mkdir(exist_ok=True)
    seen: list[list[Tensor]] = []
    with join("cpu") as processes:
        trainee = new_trainee(config, processes)

        def validate() -> float:
            seen.append(weights(trainee))
            if stop is not None and len(seen) == stop:
                raise KeyboardInterrupt
            return losses[round(trainee_pass()) - 1]

        def trainee_pass() -> float:
            return rows.position / STEPS

        rows: Any = Rows(config.epochs)
        train(
            trainee, rows, config, RunFolder(folder), "stage", processes, validate, lambda: finish(trainee.parameters)
        )
        newest = Checkpoints(RunFolder(folder).checkpoints("stage"), processes).newest()
        assert newest is not None and not (newest.parent / "best").exists()
        fresh = new_trainee(config, processes)
        tensors = fresh.tensors()
        Checkpoints(RunFolder(folder).checkpoints("stage"), processes).load(newest, tensors)
        for one, other in zip(weights(fresh)[:1], weights(trainee)[:1], strict=True):
            assert torch.equal(one, other)
        return weights(trainee), seen


def config_of(**changes: Any) -> TrainingConfig:
    """Three passes that keep the best."""
    plain = {"batch_size": 8, "epochs": 3, "keep_best_pass": True, "checkpoint_every": 1, "log_every": 1}
    return TrainingConfig(**{**plain, **changes})


@pytest.mark.parametrize(("losses", "best"), [([0.5, 0.4, 0.3], 2), ([0.5, 0.4, 0.45], 1), ([0.3, 0.4, 0.1], 0)])
@pytest.mark.parametrize("tables", ["kept", "fresh"])
def test_what_is_left_is_the_best_pass(tmp_path: Path, losses: list[float], best: int, tables: str) -> None:
    """Training ends with the first worse pass, and the weights and accumulators are those of the pass before it."""
    left, seen = train_with(tmp_path, config_of(tables=tables, table_prior_count=2.0), losses)
    assert len(seen) == min(best + 2, 3)
    for one, other in zip(left, seen[best], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("tables", ["kept", "fresh"])
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_resumed_is_uninterrupted(tmp_path: Path, tables: str, stop: int) -> None:
    """Killed at the end of any pass and resumed, training leaves the same weights, to the bit (dropout included)."""
    config, losses = config_of(tables=tables, table_prior_count=2.0), [0.5, 0.4, 0.45]
    whole_run, _ = train_with(tmp_path / "whole", config, losses)
    with pytest.raises(KeyboardInterrupt):
        train_with(tmp_path / "killed", config, losses, stop)
    resumed, _ = train_with(tmp_path / "killed", config, losses)
    for one, other in zip(whole_run, resumed, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("losses", [[0.5, 0.4, 0.3], [0.5, 0.4, 0.45]])
def test_killed_before_its_result_is_written(tmp_path: Path, losses: list[float]) -> None:
    """A stage whose last checkpoint is there and whose result is not resumes with the same weights, trained no more."""
    config = config_of(tables="fresh", table_prior_count=2.0)
    finished, _ = train_with(tmp_path, config, losses)
    resumed, passes = train_with(tmp_path, config, losses)
    assert not passes
    for one, other in zip(finished, resumed, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("losses", [[0.5, 0.4, 0.3], [0.5, 0.4, 0.45]])
def test_what_is_left_is_finished_once(tmp_path: Path, losses: list[float]) -> None:
    """`finish` changes the best pass's weights, which the last checkpoint holds; resumed from that, they stay."""

    def double(parameters: Mapping[str, Tensor]) -> None:
        parameters["weight"].data.mul_(2)

    left, seen = train_with(tmp_path, config_of(), losses, finish=double)
    best = min(range(len(losses)), key=lambda number: losses[number])
    assert torch.equal(left[0], 2 * seen[best][0])
    resumed, _ = train_with(tmp_path, config_of(), losses, finish=double)
    assert torch.equal(resumed[0], left[0])


def test_fresh_tables_are_drawn_anew_in_each_pass(tmp_path: Path) -> None:
    """A row that no batch of a pass holds differs between passes with fresh tables, and is the same with kept ones;
    that of unknown values begins each pass as it did."""
    table = {}
    for kind in ("kept", "fresh"):
        config = config_of(tables=kind, keep_best_pass=True, table_learning_rate=1e-9)
        table[kind] = [one[1] for one in train_with(tmp_path / kind, config, [0.5, 0.4, 0.3])[1]]
    torch.testing.assert_close(table["kept"][0], table["kept"][2], rtol=0, atol=1e-6)
    is_same = torch.isclose(table["fresh"][0], table["fresh"][1], rtol=0, atol=1e-6)
    assert is_same[UNKNOWN_ROW].all() and is_same.sum() == is_same[UNKNOWN_ROW].numel()
    torch.testing.assert_close(table["kept"][0], table["fresh"][0], rtol=0, atol=0)
