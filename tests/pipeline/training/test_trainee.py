"""pipeline/training/trainee.py: what a checkpoint holds, what a pass begins with, and the dense optimizers."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torchrec import EmbeddingBagConfig

from modules.embeddings import shard_embeddings
from modules.supernet import Slice
from modules.table_prior import TablePrior, accumulators
from pipeline.run.processes import Processes, join
from pipeline.training.config import TrainingConfig
from pipeline.training.trainee import Trainee, dense_optimizer, load_tables, whole

TABLES = [EmbeddingBagConfig(name="t", feature_names=["f"], num_embeddings=10, embedding_dim=4)]
PRIOR = 3.0
REFERENCE = {"adagrad": torch.optim.Adagrad, "adam": torch.optim.Adam, "sgd": torch.optim.SGD}


@pytest.fixture
def processes() -> Iterator[Processes]:
    """A group of one."""
    with join("cpu") as joined:
        yield joined


def new_trainee(processes: Processes, seed: int = 5) -> Trainee:
    """A linear network beside a table, whose accumulators hold a prior."""
    network = nn.Linear(5, 1)
    tables = shard_embeddings(TABLES, processes.device, 8, 0.1, 1e-8, seed)
    parameters = dict(network.named_parameters())
    prior = TablePrior(tables, PRIOR)
    prior.observe(torch.ones(2, 1, 4))
    optimizer = dense_optimizer(TrainingConfig(), parameters)
    return Trainee(tables, parameters, whole(network), optimizer, prior, seed=seed)


def rows(trainee: Trainee) -> Tensor:
    """The table's rows, themselves."""
    (table,) = trainee.embeddings.state_dict().values()
    found: Tensor = table.local_shards()[0].tensor
    return found


def squares(trainee: Trainee) -> Tensor:
    """The table's accumulator, itself."""
    (found,) = accumulators(trainee.embeddings)
    return found


def test_whole_is_every_parameter_at_every_step() -> None:
    """The same path and slices in each step; each slice is the parameter itself, so that its gradient is found."""
    network = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2))
    draw = whole(network)
    (path,) = draw(0).paths
    assert path.network is network and draw(0) is draw(99) and path.slices == draw(0).slices
    network(torch.ones(4, 3)).square().sum().backward()
    found = {part.name: part.leaf for part in draw(0).slices}
    assert all(found[name] is parameter for name, parameter in network.named_parameters())
    assert len(found) == len(list(network.parameters())) == len(path.slices)


@pytest.mark.parametrize("name", REFERENCE)
def test_dense_optimizer_is_torchs(name: str) -> None:
    """On a whole network each takes the steps of torch's optimizer of its name, with the configured settings."""
    torch.manual_seed(0)
    config = TrainingConfig(optimizer=name, epsilon=1e-3, initial_square=0.1, reference_inputs=2)  # type: ignore[arg-type]
    network = nn.Linear(5, 3).double()
    reference = copy.deepcopy(network)
    settings = {"adagrad": {"eps": 1e-3, "initial_accumulator_value": 0.1}, "adam": {"eps": 1e-3}, "sgd": {}}
    groups = [{"params": [reference.weight], "lr": 0.05 * 2 / 5}, {"params": [reference.bias], "lr": 0.05}]
    expected = REFERENCE[name](groups, **settings[name])  # type: ignore[operator]
    found = dense_optimizer(config, dict(network.named_parameters()))
    slices: tuple[Slice, ...] = whole(network)(0).slices
    for _ in range(4):
        batch = torch.randn(8, 5, dtype=torch.float64)
        for one in (network, reference):
            one(batch).square().mean().backward()
        found.step(slices, 0.05)
        expected.step()
        expected.zero_grad()
    for moved, goal in zip(network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(moved, goal, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tables", ["kept", "fresh"])
def test_begin_pass(processes: Processes, tables: str) -> None:
    """Fresh tables are drawn anew in each pass but the first, with the prior alone in their accumulators; kept stay."""
    trainee, config = new_trainee(processes), TrainingConfig(tables=tables)  # type: ignore[arg-type]
    drawings = []
    for number in range(3):
        squares(trainee).fill_(7.0)
        trainee.begin_pass(number, config)
        drawings.append(rows(trainee).clone())
        anew = tables == "fresh" and number > 0
        assert torch.equal(squares(trainee), torch.full_like(squares(trainee), PRIOR if anew else 7.0))
    different = [not torch.equal(drawings[0], drawings[1]), not torch.equal(drawings[1], drawings[2])]
    assert different == [tables == "fresh"] * 2


def test_a_pass_is_the_same_after_a_restart(processes: Processes) -> None:
    """A pass's fresh tables depend on seed and pass alone, not on the passes before it; another seed gives others."""
    config = TrainingConfig(tables="fresh")
    through, resumed, other = new_trainee(processes), new_trainee(processes), new_trainee(processes, seed=6)
    for number in range(3):
        through.begin_pass(number, config)
    resumed.begin_pass(2, config)
    other.begin_pass(2, config)
    assert torch.equal(rows(through), rows(resumed)) and not torch.equal(rows(through), rows(other))


def test_tensors_are_all_that_training_changes(processes: Processes) -> None:
    """Tensors loaded in place of another trainee's give it this one's weights and both optimizers' states."""
    source, target = new_trainee(processes), new_trainee(processes, seed=6)
    squares(source).uniform_()
    for tensor in source.optimizer.state_dict().values():
        tensor.uniform_()
    saved, loaded = source.tensors(), target.tensors()
    for kind in ("dense", "dense_optimizer"):
        assert saved[kind].keys() == loaded[kind].keys() and saved[kind]
        for name, tensor in loaded[kind].items():
            tensor.copy_(saved[kind][name])
    load_tables(target.embeddings, saved)
    assert torch.equal(rows(source), rows(target)) and torch.equal(squares(source), squares(target))
    for name, parameter in source.parameters.items():
        assert torch.equal(parameter, target.parameters[name])
        assert torch.equal(source.optimizer.state_dict()[name], target.optimizer.state_dict()[name])
