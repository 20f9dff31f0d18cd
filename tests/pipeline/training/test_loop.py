"""The trainer: the schedule against its formula, a step against torch's own optimizers, ranks against one process."""

import dataclasses
import json
import subprocess
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, embedding
from torchrec import EmbeddingBagConfig

from modules.embeddings import shard_embeddings
from modules.supernet import SlicedAdagrad
from modules.table_prior import TablePrior
from pipeline.data import Batch
from pipeline.run.processes import Processes, join
from pipeline.training.config import TrainingConfig
from pipeline.training.loop import begin_random_numbers, matrix_precision, train_step
from pipeline.training.schedule import LearningRates
from pipeline.training.table_pipeline import TablePipeline
from pipeline.training.trainee import Trainee, whole

Ranks = Callable[..., list[subprocess.CompletedProcess[str]]]
TABLES = [
    EmbeddingBagConfig(name=f"t_{field}", feature_names=[field], num_embeddings=20, embedding_dim=4) for field in "uvw"
]
CONFIG = TrainingConfig(batch_size=32, learning_rate=0.05, table_learning_rate=0.3, clip_norm=0.5, initial_square=0.1)
FACTORS = (0.5, 1.0, 0.25)


def one(trainee: Trainee, batch: Batch, processes: Processes) -> TablePipeline:
    """The table pipeline of a single batch."""
    return TablePipeline(trainee.embeddings, iter([batch]), dict, processes.device)


class Interaction(nn.Module):
    """A small standalone network."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        self.weight = nn.Parameter(torch.randn(6, 2 + 3 * 4, generator=generator))
        self.head = nn.Parameter(torch.randn(6, generator=generator))

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """Dense [B, 2], sparse [B, 3, 4] → logit [B]."""
        return torch.tanh(torch.cat([dense, sparse.flatten(1)], dim=1) @ self.weight.T) @ self.head


def rows() -> tuple[Tensor, Tensor, Tensor]:
    """dense [B, 2], ids [F, B], label [B]."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(20, (3, CONFIG.batch_size), generator=generator)
    label = (torch.rand(CONFIG.batch_size, generator=generator) < 0.3).float()
    return torch.rand(CONFIG.batch_size, 2, generator=generator), ids, label


def at_share(share: float) -> LearningRates:
    """Both rates at the same share of their peaks."""
    return LearningRates(share * CONFIG.learning_rate, share * CONFIG.table_learning_rate)


def trained(config: TrainingConfig = CONFIG) -> tuple[list[float], dict[str, Tensor]]:
    """Losses of three steps of the product's trainer in a group of one, and all weights after them."""
    with join("cpu") as processes:
        sharded = shard_embeddings(TABLES, processes.device, 32, CONFIG.table_learning_rate, CONFIG.epsilon, seed=1)
        network = Interaction()
        parameters = dict(network.named_parameters())
        path = whole(network)
        optimizer = SlicedAdagrad(parameters, CONFIG.epsilon, CONFIG.initial_square)
        trainee = Trainee(sharded, parameters, path, optimizer, TablePrior(sharded, 0))
        dense, ids, label = rows()
        batch = Batch.of_ids(dense, ids, label, list("uvw"))
        losses = [
            float(train_step(trainee, path(step), one(trainee, batch, processes), config, rates, processes))
            for step, rates in enumerate(map(at_share, FACTORS))
        ]
        tables = {name: table.local_shards()[0].tensor for name, table in sharded.state_dict().items()}
        return losses, {name: value.detach().clone() for name, value in {**tables, **parameters}.items()}


def test_steps_are_torchs_own() -> None:
    """Three steps equal torch's Adagrad behind torch's clipping for the dense part, and row-wise Adagrad's formula for
    the tables, at the schedule's shares of the learning rates."""
    with join("cpu") as processes:
        sharded = shard_embeddings(TABLES, processes.device, 32, CONFIG.table_learning_rate, CONFIG.epsilon, seed=1)
        tables = {name: table.local_shards()[0].tensor.clone() for name, table in sharded.state_dict().items()}
    network, (dense, ids, label) = Interaction(), rows()
    optimizer = torch.optim.Adagrad(network.parameters(), initial_accumulator_value=0.1, eps=CONFIG.epsilon)
    squares = {name: torch.zeros(20) for name in tables}
    expected = []
    for factor in FACTORS:
        optimizer.zero_grad()
        leaves = {name: table.clone().requires_grad_() for name, table in tables.items()}
        embedded = torch.stack([embedding(own, leaf) for own, leaf in zip(ids, leaves.values(), strict=True)], dim=1)
        loss = binary_cross_entropy_with_logits(network(dense, embedded), label)
        loss.backward()
        assert nn.utils.clip_grad_norm_(network.parameters(), CONFIG.clip_norm) > 0
        optimizer.param_groups[0]["lr"] = factor * CONFIG.learning_rate
        optimizer.step()
        for name, leaf in leaves.items():
            assert leaf.grad is not None
            squares[name] += leaf.grad.square().mean(1)
            rate = factor * CONFIG.table_learning_rate
            tables[name] -= rate * leaf.grad / (squares[name].sqrt()[:, None] + CONFIG.epsilon)
        expected.append(float(loss))
    losses, found = trained()
    assert losses == pytest.approx(expected, rel=1e-5)
    for name, value in {**tables, **dict(network.named_parameters())}.items():
        torch.testing.assert_close(found[name], value.detach(), rtol=1e-4, atol=1e-6)


def test_bf16_products_keep_float32_weights() -> None:
    """With bf16 autocast weights stay float32, and losses are the float32 run's to bf16's rounding."""
    losses, _ = trained()
    rounded, found = trained(dataclasses.replace(CONFIG, precision="bf16"))
    assert rounded != losses and rounded == pytest.approx(losses, rel=0.02)
    assert all(value.dtype == torch.float32 for value in found.values())


def test_tf32_without_cuda_is_refused() -> None:
    """A precision that the device does not have is a ValueError, not ignored."""
    config = dataclasses.replace(CONFIG, precision="tf32")
    with pytest.raises(ValueError, match="only CUDA"), matrix_precision(config, torch.device("cpu")):
        pass


DEVICES = [pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")), "cpu"]


@pytest.mark.parametrize("device", DEVICES)
def test_random_numbers_are_those_of_torchs_seed(device: str) -> None:
    """Dropout draws what it draws after torch.manual_seed, on the device that a step computes on and on the CPU."""
    dropped = []
    for begin in (torch.manual_seed, lambda seed: begin_random_numbers(torch.device(device), seed)):
        begin(2**62 + 7)
        dropped.append([nn.functional.dropout(torch.ones(1000, device=place)).cpu() for place in (device, "cpu")])
    assert all(torch.equal(*pair) for pair in zip(*dropped, strict=True))


RANK = """
import json, sys
import torch
import importlib.util
spec = importlib.util.spec_from_file_location("shared", sys.argv[1])
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
from modules.embeddings import shard_embeddings
from modules.supernet import SlicedAdagrad
from modules.table_prior import TablePrior
from pipeline.data import Batch
from pipeline.run.processes import join
from pipeline.training.trainee import Trainee, whole
from pipeline.training.loop import train_step
config = shared.CONFIG
with join("cpu") as processes:
    rank = processes.rank
    sharded = shard_embeddings(shared.TABLES, processes.device, 16, config.table_learning_rate, config.epsilon, seed=1)
    network = shared.Interaction()
    parameters = dict(network.named_parameters())
    optimizer = SlicedAdagrad(parameters, config.epsilon, config.initial_square)
    trainee = Trainee(sharded, parameters, whole(network), optimizer, shared.TablePrior(sharded, 0))
    dense, ids, label = shared.rows()
    own = slice(16 * rank, 16 * rank + 16)
    batch = Batch.of_ids(dense[own], ids[:, own].contiguous(), label[own], list("uvw"))
    losses = []
    for step, factor in enumerate(shared.FACTORS):
        rates = shared.at_share(factor)
        tables = shared.one(trainee, batch, processes)
        losses.append(processes.mean(train_step(trainee, trainee.draw_paths(step), tables, config, rates, processes)))
    tables = {name: table.local_shards()[0].tensor for name, table in sharded.state_dict().items()
              if table.local_shards()}
    print(json.dumps([losses, {name: value.tolist() for name, value in {**tables, **parameters}.items()}]))
"""


@pytest.mark.slow
def test_two_ranks_step_as_one(ranks: Ranks) -> None:
    """Two ranks with half of the rows each make the losses and weights of one process with all of them, to rounding;
    dense weights are bit-equal on both."""
    losses, expected = trained()
    first, second = (json.loads(process.stdout.splitlines()[-1]) for process in ranks(2, RANK, __file__))
    assert first[0] == second[0] == pytest.approx(losses, rel=1e-5)
    for name in ("weight", "head"):
        assert first[1][name] == second[1][name]
    for name, value in expected.items():
        found = first[1].get(name) or second[1][name]
        torch.testing.assert_close(torch.tensor(found), value, rtol=1e-4, atol=1e-6)
