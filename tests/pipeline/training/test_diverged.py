"""pipeline/training/diverged.py in the loop: training that diverges ends as Diverged, and no checkpoint holds it."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchrec import EmbeddingBagConfig

from modules.embeddings import shard_embeddings
from modules.supernet import SlicedSGD
from modules.table_prior import TablePrior, accumulators
from pipeline.data import Batch
from pipeline.run.checkpoint import Checkpoints
from pipeline.run.folder import RunFolder
from pipeline.run.processes import Processes, join
from pipeline.training.config import TrainingConfig
from pipeline.training.diverged import Diverged, check_finite
from pipeline.training.loop import train
from pipeline.training.trainee import StepPaths, Trainee, whole

Ranks = Callable[..., list[subprocess.CompletedProcess[str]]]
TABLES = [EmbeddingBagConfig(name="t", feature_names=["f"], num_embeddings=10, embedding_dim=4)]
STEPS = 8


class Product(nn.Module):
    """A logit of two factors: at a large rate the factors' gradients grow from step to step."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.full((5,), 0.1))
        self.second = nn.Parameter(torch.ones(()))

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """Dense [B, 1], sparse [B, 1, 4] → logit [B]."""
        return torch.cat([dense, sparse.flatten(1)], dim=1) @ self.first * self.second


class Rows:
    """A stream of STEPS batches, with a position."""

    def __init__(self, rank: int = 0) -> None:
        self.rank, self.position = rank, 0

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Any:
        while self.position < STEPS:
            generator = torch.Generator().manual_seed(2 * self.position + self.rank)
            self.position += 1
            ids = torch.randint(10, (1, 8), generator=generator)
            label = (torch.rand(8, generator=generator) < 0.5).float()
            yield Batch.of_ids(torch.rand(8, 1, generator=generator), ids, label, ["f"])

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = state["position"]


def new_trainee(processes: Processes) -> Trainee:
    """A small network beside one table; plain SGD, which no accumulator slows down."""
    network = Product()
    tables = shard_embeddings(TABLES, processes.device, 8, 0.1, 1e-8, seed=5)
    return Trainee(tables, dict(network.named_parameters()), whole(network), SlicedSGD(), TablePrior(tables, 0), seed=5)


def config_of(**changes: Any) -> TrainingConfig:
    """A checkpoint every second step, a line of metrics at the end only."""
    plain = {
        "batch_size": 8,
        "log_every": 100,
        "checkpoint_every": 2,
        "schedule": "constant",
        "optimizer": "sgd",
        "on_spike": "stop",
    }
    return TrainingConfig(**{**plain, "warm_up_share": 0.0, **changes})


def saved(folder: Path, processes: Processes) -> list[tuple[int, bool]]:
    """(step, whether everything in it is finite) of every checkpoint of the stage."""
    found = []
    for path in sorted(RunFolder(folder).checkpoints("stage").glob("**/step_*")):
        trainee = new_trainee(processes)
        tensors = trainee.tensors()
        Checkpoints(path.parent, processes).load(path, tensors)
        trainee.embeddings.load_state_dict(tensors["embeddings"])
        held = [*trainee.parameters.values(), *tables_of(trainee), *accumulators(trainee.embeddings)]
        found.append((int(path.name.removeprefix("step_")), all(bool(one.isfinite().all()) for one in held)))
    return found


def tables_of(trainee: Trainee) -> list[Tensor]:
    """This rank's part of the table."""
    return [shard.tensor for table in trainee.embeddings.state_dict().values() for shard in table.local_shards()]


def poison(trainee: Trainee, what: str, at_step: int) -> None:
    """Make one value not finite just before a step's networks are drawn."""
    draw_paths = trainee.draw_paths

    def drawn(step: int) -> StepPaths:
        if step == at_step:
            {"weight": trainee.parameters["second"], "table": tables_of(trainee)[0]}[what].data.fill_(torch.nan)
        return draw_paths(step)

    trainee.draw_paths = drawn


@pytest.mark.parametrize("what", ["weight", "table"])
@pytest.mark.parametrize("at_step", [4, 5])
def test_the_last_good_checkpoint_stays(tmp_path: Path, what: str, at_step: int) -> None:
    """A weight that turns NaN in the step before a checkpoint, or two before, ends training at that checkpoint, which
    is not written; the two before it are there, and finite."""
    with join("cpu") as processes:
        trainee, stream = new_trainee(processes), Rows()
        poison(trainee, what, at_step)
        with pytest.raises(
            Diverged, match=r"stage, step [56]: the loss, its gradient or a weight is not finite; lower"
        ):
            train(trainee, stream, config_of(), RunFolder(tmp_path), "stage", processes)  # type: ignore[arg-type]
        assert saved(tmp_path, processes) == [(2, True), (4, True)]


@pytest.mark.parametrize("rates", [{"learning_rate": 1e30}, {"table_learning_rate": 1e30}])
@pytest.mark.parametrize("checkpoint_every", [0, 1, 2])
def test_a_learning_rate_that_is_far_too_large(tmp_path: Path, rates: dict[str, float], checkpoint_every: int) -> None:
    """It ends as Diverged, be it of the dense part or of the tables; no checkpoint holds anything that is not finite,
    and metrics.jsonl holds no such loss."""
    with join("cpu") as processes:
        trainee, config = new_trainee(processes), config_of(checkpoint_every=checkpoint_every, clip_norm=1e30, **rates)
        with pytest.raises(Diverged):
            train(trainee, Rows(), config, RunFolder(tmp_path), "stage", processes)  # type: ignore[arg-type]
        assert all(is_finite for _, is_finite in saved(tmp_path, processes))
    assert RunFolder(tmp_path).metrics("stage").read_text() == ""


def test_nothing_diverged_is_judged(tmp_path: Path) -> None:
    """The validation rows are not evaluated, and the pass is not kept as the best, once a weight is NaN."""

    def never() -> float:
        raise AssertionError("a network with a NaN was evaluated")

    with join("cpu") as processes:
        trainee = new_trainee(processes)
        poison(trainee, "table", STEPS - 1)
        config = config_of(keep_best_pass=True, checkpoint_every=0)
        with pytest.raises(Diverged, match="step 8"):
            train(trainee, Rows(), config, RunFolder(tmp_path), "stage", processes, never)  # type: ignore[arg-type]
        assert not saved(tmp_path, processes)


@pytest.mark.parametrize("what", ["parameter", "table", "accumulator", "loss"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_every_kind_of_value_is_checked(what: str, value: float) -> None:
    """One element that is not finite, wherever it is, is found; without it nothing is raised."""
    with join("cpu") as processes:
        trainee, loss = new_trainee(processes), torch.tensor(3.0)
        check_finite(trainee, loss, "here", processes)
        held = {
            "parameter": trainee.parameters["first"].data,
            "table": tables_of(trainee)[0],
            "accumulator": next(accumulators(trainee.embeddings)),
            "loss": loss,
        }
        held[what].flatten()[-1:].fill_(value)
        with pytest.raises(Diverged, match="here: "):
            check_finite(trainee, loss, "here", processes)


RANK = """
import importlib.util, json, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("shared", sys.argv[1])
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
with shared.join("cpu") as processes:
    trainee = shared.new_trainee(processes)
    if shared.tables_of(trainee):
        print(json.dumps("poisoned"))
        shared.poison(trainee, "table", 5)
    try:
        shared.train(
            trainee, shared.Rows(processes.rank), shared.config_of(), shared.RunFolder(Path(sys.argv[2])), "stage",
            processes,
        )
    except shared.Diverged as error:
        print(json.dumps(str(error)))
"""


@pytest.mark.slow
def test_every_rank_ends(ranks: Ranks, tmp_path: Path) -> None:
    """The table lies on one of two ranks and turns NaN there: both end as Diverged with the same words, none hangs, and
    the last good checkpoint stays."""
    printed = [process.stdout.splitlines() for process in ranks(2, RANK, __file__, str(tmp_path))]
    assert sum(json.dumps("poisoned") in lines for lines in printed) == 1
    (said,) = {lines[-1] for lines in printed}
    assert re.match(r'"stage, step [567]: the loss, its gradient or a weight is not finite; lower', said)
    kept = sorted(path.name for path in RunFolder(tmp_path).checkpoints("stage").glob("step_*"))
    assert kept == ["step_00000002", "step_00000004"]
