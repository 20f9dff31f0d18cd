"""Supernet training on several real processes: equal to one process, one all-reduce of the active weights, no hang.

The test functions start ranks that load this file and call `work` in it.
"""

import dataclasses
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy
import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torchrec import EmbeddingBagConfig

from modules.embeddings import embed
from modules.operators.low_bit import INPUT_RANGE, LEAST_SET
from modules.space import NASREC_FULL, InputShape, SearchSpace, parameter_count, single_operator_any_connection
from modules.space.search_space import with_bits
from modules.supernet import Supernet
from pipeline.config import SupernetConfig
from pipeline.data import Batch
from pipeline.run.checkpoint import Checkpoints
from pipeline.run.folder import RunFolder
from pipeline.run.processes import Processes, join
from pipeline.training import stage, supernet
from pipeline.training.loop import train, train_step
from pipeline.training.schedule import LearningRates
from pipeline.training.supernet import build_supernet
from pipeline.training.table_pipeline import TablePipeline
from pipeline.training.trainee import StepPaths, Trainee

Ranks = Callable[..., list[subprocess.CompletedProcess[str]]]
SPACE = SearchSpace(
    "tiny",
    NASREC_FULL.dense_operators,
    NASREC_FULL.sparse_operators,
    dense_widths=(16, 32),
    sparse_widths=(8, 16),
    num_blocks=3,
)
SHAPE = InputShape(integers=3, fields=3, embedding_width=8)
FIELDS = list("uvw")
ROWS = 32
BASE = SupernetConfig(
    batch_size=ROWS,
    learning_rate=0.01,
    table_learning_rate=0.02,
    initial_square=0.1,
    clip_norm=0.3,
    epsilon=1e-2,
    checkpoint_every=3,
)
"""With the published ε: a small one makes steps of the tables' rounding errors while their gradients are near zero."""


def one(trainee: Trainee, batch: Batch, processes: Processes) -> TablePipeline:
    """The table pipeline of a single batch."""
    return TablePipeline(trainee.embeddings, iter([batch]), dict, processes.device)


RANK = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("shared", sys.argv[1])
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
shared.work(*sys.argv[2:])
"""


class Rows:
    """Twelve steps of rows as a stream: a rank gets its share of each step's."""

    def __init__(self, processes: Processes, steps: int = 12, have_weights: bool = False) -> None:
        self.processes, self.steps, self.have_weights, self.position = processes, steps, have_weights, 0

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> "Rows":
        return self

    def __next__(self) -> Batch:
        if self.position == self.steps:
            raise StopIteration
        self.position += 1
        dense, ids, label = rows(self.position)
        share = ROWS // self.processes.world_size
        own = slice(share * self.processes.rank, share * (self.processes.rank + 1))
        weight = row_weights(self.position)[own] if self.have_weights else None
        return Batch.of_ids(dense[own], ids[:, own].contiguous(), label[own], FIELDS, weight=weight)

    def state_dict(self) -> dict[str, int]:
        """Where it stands."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there."""
        self.position = state["position"]


def rows(step: int) -> tuple[Tensor, Tensor, Tensor]:
    """A step's dense [B, 3], ids [F, B] and label [B]."""
    generator = torch.Generator().manual_seed(step)
    dense, ids = torch.rand(ROWS, 3, generator=generator), torch.randint(20, (3, ROWS), generator=generator)
    return dense, ids, (torch.rand(ROWS, generator=generator) < 0.3).float()


def row_weights(step: int) -> Tensor:
    """Whole weights [B] of a step's rows, the first ranks' larger than the last ones'."""
    return (
        torch.randint(1, 5, (ROWS,), generator=torch.Generator().manual_seed(step)) + torch.arange(ROWS, 0, -1) // 8.0
    )


def new_trainee(config: SupernetConfig, processes: Processes) -> Trainee:
    """The product's own supernet and trainee, on the tiny space; its integers are read as they are."""
    session: Any = SimpleNamespace(
        config=SimpleNamespace(supernet=config, seed=0),
        space=SPACE,
        shape=SHAPE,
        lists=(),
        processes=processes,
        tables=lambda: [
            EmbeddingBagConfig(name=f"t_{field}", feature_names=[field], num_embeddings=20, embedding_dim=8)
            for field in FIELDS
        ],
        torch_generator=lambda stream, name: torch.Generator().manual_seed(0),
        numpy_generator=lambda stream: numpy.random.default_rng(0),
    )
    with (
        mock.patch.object(supernet, "standardization", lambda _: None),
        mock.patch.object(stage, "planned", lambda *_, **__: None),  # there is no run's folder to keep a plan in
    ):
        return build_supernet(session)[1]


def weights(trainee: Trainee) -> dict[str, Tensor]:
    """All weights and states that lie on this rank."""
    tables = trainee.embeddings.state_dict()
    local = {name: table.local_shards()[0].tensor for name, table in tables.items() if table.local_shards()}
    dense = {name: parameter.detach() for name, parameter in trainee.parameters.items()}
    states = {f"state {name}": state for name, state in trainee.optimizer.state_dict().items()}
    return {name: tensor.clone() for name, tensor in {**local, **dense, **states}.items()}


def at_peak(config: SupernetConfig) -> LearningRates:
    """The peak rates."""
    return LearningRates(config.learning_rate, config.table_learning_rate)


def take_steps(
    config: SupernetConfig, steps: int, processes: Processes, batches: Iterable[Batch] | None = None
) -> dict[str, Tensor]:
    """Weights after the steps, on these batches or the rows' own."""
    trainee = new_trainee(config, processes)
    for step, batch in enumerate(batches or Rows(processes, steps)):
        train_step(
            trainee,
            trainee.draw_paths(step),
            one(trainee, batch, processes),
            config,
            at_peak(config),
            processes,
        )
    return weights(trainee)


def work(what: str, folder: str, changes: str = "{}", steps: str = "0") -> None:
    """What a rank of these tests does."""
    given = json.loads(changes)
    space = with_bits(SPACE) if given.pop("has_bits", False) else SPACE
    config = dataclasses.replace(BASE, **given)
    with mock.patch.dict(globals(), SPACE=space), join("cpu") as processes:
        match what:
            case "steps":
                torch.save(take_steps(config, int(steps), processes), f"{folder}/{processes.rank}.pt")
            case "weighted":
                batches = Rows(processes, int(steps), have_weights=True)
                torch.save(take_steps(config, int(steps), processes, batches), f"{folder}/{processes.rank}.pt")
            case "bytes":
                print(json.dumps(bytes_reduced(config, int(steps), processes)))
            case "train" | "killed":
                train_to_the_end(config, Path(folder), processes, killed_at=7 if what == "killed" else -1)


def bytes_reduced(config: SupernetConfig, steps: int, processes: Processes) -> list[list[int]]:
    """Of each step: number of all-reduces, their bytes, and four bytes for every parameter of the path."""
    sent: list[int] = []
    real = distributed.all_reduce

    def counting(tensor: Tensor, *arguments: Any, **options: Any) -> Any:
        sent.append(tensor.numel() * tensor.element_size())
        return real(tensor, *arguments, **options)

    distributed.all_reduce = counting
    trainee, draws = new_trainee(config, processes), numpy.random.default_rng(0)
    found = []
    for step, batch in enumerate(Rows(processes, steps)):
        sent.clear()
        train_step(
            trainee,
            trainee.draw_paths(step),
            one(trainee, batch, processes),
            config,
            at_peak(config),
            processes,
        )
        found.append([len(sent), sum(sent), 4 * parameter_count(single_operator_any_connection(SPACE, draws), SHAPE)])
    return found


def train_to_the_end(config: SupernetConfig, folder: Path, processes: Processes, killed_at: int) -> None:
    """The product's loop over twelve steps; rank 1 kills itself before one of them."""
    trainee = new_trainee(config, processes)
    draw_paths = trainee.draw_paths

    def paths_or_death(step: int) -> StepPaths:
        if step == killed_at and processes.rank == 1:
            print(time.time(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return draw_paths(step)

    trainee.draw_paths = paths_or_death
    stream: Any = Rows(processes)
    train(trainee, stream, config, RunFolder(folder), "supernet", processes)
    torch.save(weights(trainee), folder / f"{processes.rank}.pt")


def of_ranks(folder: Path, count: int) -> list[dict[str, Tensor]]:
    """What the ranks saved."""
    return [torch.load(folder / f"{rank}.pt") for rank in range(count)]


@pytest.mark.slow
def test_two_ranks_with_half_the_rows_are_one_with_all(ranks: Ranks, tmp_path: Path) -> None:
    """After 50 steps every weight and state equals one process's to 1e-6; dense ones are bit-equal on both ranks."""
    with join("cpu") as processes:
        expected = take_steps(BASE, 50, processes)
    ranks(2, RANK, __file__, "steps", str(tmp_path), "{}", "50")
    first, second = of_ranks(tmp_path, 2)
    for name in first.keys() & second.keys():
        assert torch.equal(first[name], second[name])
    for name, value in expected.items():
        torch.testing.assert_close((first | second)[name], value, rtol=1e-6, atol=1e-6)


def repeated(step: int) -> Batch:
    """A step's rows, each as often as its weight says, in a batch without weights."""
    dense, ids, label = rows(step)
    which = torch.arange(ROWS).repeat_interleave(row_weights(step).long())
    return Batch.of_ids(dense[which], ids[:, which].contiguous(), label[which], FIELDS)


@pytest.mark.slow
def test_rows_count_by_their_weights(ranks: Ranks, tmp_path: Path) -> None:
    """Steps on rows of weights 1 to 8 are those on the rows repeated so often, on one rank and on two, whose shares
    have unequal weights; weights of 1 change no bit, nor do weights of 2."""
    with join("cpu") as processes:
        expected = take_steps(BASE, 5, processes, map(repeated, range(1, 6)))
        one_rank = take_steps(BASE, 5, processes, Rows(processes, 5, have_weights=True))
        plain = take_steps(BASE, 3, processes)
        for factor in (1.0, 2.0):
            batches = [dataclasses.replace(batch, weight=torch.full((ROWS,), factor)) for batch in Rows(processes, 3)]
            assert all(
                torch.equal(value, plain[name]) for name, value in take_steps(BASE, 3, processes, batches).items()
            )
    ranks(2, RANK, __file__, "weighted", str(tmp_path), "{}", "5")
    first, second = of_ranks(tmp_path, 2)
    assert any(not torch.allclose(value, one_rank[name]) for name, value in plain.items())
    for found in (one_rank, first | second):
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=2e-6)


def oracle(config: SupernetConfig, world_size: int, steps: int) -> dict[str, Tensor]:
    """Dense weights by plain autograd on whole parameters and torch's own optimizer; the tables stay."""
    with join("cpu") as processes:
        trainee = new_trainee(config, processes)
        looked_up = [embed(trainee.embeddings, batch.sparse).detach() for batch in Rows(processes, steps)]
    supernet, draws = Supernet(SPACE, SHAPE), numpy.random.default_rng(0)
    parameters = supernet.parameters_by_name()
    for name, parameter in parameters.items():
        parameter.data.copy_(trainee.parameters[name].detach())
    match config.optimizer:
        case "adagrad":
            optimizer: torch.optim.Optimizer = torch.optim.Adagrad(
                parameters.values(),
                lr=config.learning_rate,
                eps=config.epsilon,
                initial_accumulator_value=config.initial_square,
            )
        case _:
            optimizer = torch.optim.SGD(parameters.values(), lr=config.learning_rate)
    for step in range(steps):
        dense, _, label = rows(step + 1)
        losses = []
        groups = world_size if config.distinct_paths else 1
        for group in range(groups):
            own = slice(group * ROWS // groups, (group + 1) * ROWS // groups)
            for _ in range(config.paths_per_step):
                architecture = single_operator_any_connection(SPACE, draws)
                logit = supernet(dense[own], looked_up[step][own], architecture)
                losses.append(binary_cross_entropy_with_logits(logit, label[own]))
        for parameter in parameters.values():
            parameter.grad = torch.zeros_like(parameter)
        torch.stack(losses).mean().backward()
        nn.utils.clip_grad_norm_(parameters.values(), config.clip_norm)
        optimizer.step()
    return {name: parameter.detach() for name, parameter in parameters.items()}


@pytest.mark.slow
def test_ranks_agree_on_clips(ranks: Ranks, tmp_path: Path) -> None:
    """With bits, each rank with paths of its own: what some rank's rows set is the same on both after every step."""
    changes = {"has_bits": True, "distinct_paths": True}
    ranks(2, RANK, __file__, "steps", str(tmp_path), json.dumps(changes), "20")
    first, second = of_ranks(tmp_path, 2)
    clips = [name for name in first if name.endswith(f".{INPUT_RANGE}") and not name.startswith("state")]
    assert sum(int((first[name] > LEAST_SET).sum()) for name in clips) > len(clips) / 3
    for name in first.keys() & second.keys():
        assert torch.equal(first[name], second[name]), name


@pytest.mark.parametrize("optimizer", ["adagrad", "sgd"])
@pytest.mark.slow
def test_several_paths_a_step_are_their_mean(optimizer: Any) -> None:
    """Three paths on one lookup: the step of the mean of their losses on whole parameters."""
    config = dataclasses.replace(BASE, paths_per_step=3, optimizer=optimizer, table_learning_rate=1e-12)
    with join("cpu") as processes:
        found = take_steps(config, 5, processes)
    for name, value in oracle(config, 1, 5).items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_distinct_paths_are_averaged_over_their_union(ranks: Ranks, tmp_path: Path) -> None:
    """Two ranks with two paths of their own each: the step of the mean of all four losses, the same on both."""
    changes: dict[str, Any] = {"distinct_paths": True, "paths_per_step": 2, "table_learning_rate": 1e-12}
    ranks(2, RANK, __file__, "steps", str(tmp_path), json.dumps(changes), "5")
    first, second = of_ranks(tmp_path, 2)
    for name, value in oracle(dataclasses.replace(BASE, **changes), 2, 5).items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_bytes_reduced_are_the_active_weights(ranks: Ranks, tmp_path: Path) -> None:
    """Each step all-reduces once, exactly four bytes for every parameter of its sub-network."""
    for process in ranks(2, RANK, __file__, "bytes", str(tmp_path), "{}", "8"):
        for count, sent, expected in json.loads(process.stdout.splitlines()[-1]):
            assert (count, sent) == (1, expected)


@pytest.mark.parametrize("has_bits", [False, True])
@pytest.mark.slow
def test_a_killed_rank_ends_the_other_and_the_run_goes_on(ranks: Ranks, tmp_path: Path, has_bits: bool) -> None:
    """Rank 1 is killed before step 7: rank 0 ends with an error within 60 s, and the same command goes on from step 6,
    or from 3 where 6 was still being written, to the very weights of a run that nothing stopped, with distinct paths
    and their generator too; clips are such weights."""
    changes = json.dumps({"distinct_paths": True, "has_bits": has_bits})
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    ranks(2, RANK, __file__, "train", str(whole), changes)
    survivor, killed = ranks(2, RANK, __file__, "killed", str(broken), changes, check=False)
    assert time.time() - float(killed.stdout.splitlines()[-1]) < 60
    assert killed.returncode == -signal.SIGKILL
    assert survivor.returncode > 0 and "Error" in survivor.stderr
    newest = Checkpoints(RunFolder(broken).checkpoints("supernet"), Processes(0, 1, torch.device("cpu"))).folder
    kept = sorted(path.name for path in newest.glob("step_*"))
    assert kept in (["step_00000003"], ["step_00000003", "step_00000006"])
    ranks(2, RANK, __file__, "train", str(broken), changes)
    for found, expected in zip(of_ranks(broken, 2), of_ranks(whole, 2), strict=True):
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], value) for name, value in expected.items())
