"""Scoring: rows looked up once, the last layer's fit against scipy, the same scores on any number of ranks."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import scipy.optimize
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.space import NASREC_SMALL, InputShape, single_operator_any_connection
from modules.supernet import Supernet, extract
from pipeline.run.processes import Processes, join
from pipeline.search.config import ScoringConfig
from pipeline.search.scoring import fit_head, score, score_all
from pipeline.session import open_session
from pipeline.training.frozen_rows import CHUNK_ROWS, FrozenRows, load_frozen_rows
from pipeline.training.supernet import load_supernet

TinyRun = Any
Ranks = Callable[..., list[subprocess.CompletedProcess[str]]]
SHAPE = InputShape(2, 3, 4)


def supernet() -> Supernet:
    """A supernet whose head is not the zero a new one has."""
    made = Supernet(NASREC_SMALL, SHAPE, torch.Generator().manual_seed(0))
    nn.init.normal_(made.get_parameter("widest.head.weight"), std=0.1, generator=torch.Generator().manual_seed(1))
    return made


def frozen(rows: int, seed: int) -> FrozenRows:
    """Random rows, labels that depend on them."""
    generator = torch.Generator().manual_seed(seed)
    dense = torch.rand(rows, 2, generator=generator)
    embedded = torch.randn(rows, 3, 4, generator=generator)
    label = (torch.rand(rows, generator=generator) < (2 * embedded[:, 0, 0] - dense[:, 1]).sigmoid()).float()
    return FrozenRows(dense, embedded, label)


def architectures(count: int) -> list[Any]:
    """Random ones of the space."""
    generator = numpy.random.default_rng(0)
    return [single_operator_any_connection(NASREC_SMALL, generator) for _ in range(count)]


@pytest.mark.slow
def test_rows_looked_up_are_the_tables_rows(copied: TinyRun) -> None:
    """The first rows of a split, in the stream's order, each field the row of its table; all rows where fewer are there
    than asked for, and a shuffle is the same each time."""
    with join("cpu") as processes, open_session(copied.config, processes) as session:
        _, trainee = load_supernet(session)
        sharded = trainee.embeddings.state_dict()
        names = [f"embedding_bags.{table.name}.weight" for table in session.tables()]
        tables = [sharded[name].local_shards()[0].tensor for name in names]
        for split, shuffle_seed in (("valid", None), ("train", 7)):
            batches = list(session.dataset.stream(split, CHUNK_ROWS, shuffle_seed=shuffle_seed, drop_last=False))
            ids, dense = torch.cat([b.ids for b in batches]), torch.cat([b.dense for b in batches])
            label = torch.cat([b.label for b in batches])
            expected = torch.stack([table[own] for table, own in zip(tables, ids.t(), strict=True)], dim=1)
            for rows in (1, 50, 10**6):
                found = load_frozen_rows(trainee.embeddings, session.dataset, split, rows, processes, shuffle_seed)
                assert len(found.label) == min(rows, session.dataset.rows(split))
                assert torch.equal(found.embedded, expected[:rows])
                assert torch.equal(found.dense, dense[:rows]) and torch.equal(found.label, label[:rows])


def test_chunks_are_the_rows() -> None:
    """In order, none longer than CHUNK_ROWS, put together the whole."""
    rows = frozen(2 * CHUNK_ROWS + 5, 0)
    chunks = rows.chunks()
    assert [len(chunk.label) for chunk in chunks] == [CHUNK_ROWS, CHUNK_ROWS, 5]
    assert torch.equal(torch.cat([chunk.embedded for chunk in chunks]), rows.embedded)


def penalized_loss(parameters: Any, features: Any, label: Any, start: Any, penalty: float) -> float:
    """Mean log loss of a logistic regression and the penalty, in float64 numpy."""
    logit = features @ parameters[:-1] + parameters[-1]
    loss = numpy.logaddexp(0, logit) - label * logit
    return float(loss.mean() + penalty * ((parameters[:-1] - start) ** 2).sum())


@pytest.mark.parametrize("penalty", [1e-4, 0.1])
def test_fit_head_finds_scipys_minimum(penalty: float) -> None:
    """With enough iterations the fit is the minimum that scipy finds for the same penalized loss; it has not moved the
    tensors it started from."""
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(2000, 5, generator=generator)
    label = (torch.rand(2000, generator=generator) < (features[:, 0] - 0.5).sigmoid()).float()
    weight, bias = torch.full((5,), 0.3), torch.zeros(1)
    config = ScoringConfig(fine_tune_iterations=100, fine_tune_penalty=penalty)
    fitted, offset = fit_head(features, label, weight, bias, config)
    arguments = (features.double().numpy(), label.double().numpy(), numpy.full(5, 0.3), penalty)
    oracle = scipy.optimize.minimize(penalized_loss, numpy.zeros(6), args=arguments, method="BFGS", tol=1e-10)
    found = numpy.array([*fitted.tolist(), float(offset)])
    numpy.testing.assert_allclose(found, oracle.x, atol=2e-3)  # float32 on a flat floor
    assert penalized_loss(found, *arguments) < oracle.fun + 1e-6
    assert torch.equal(weight, torch.full((5,), 0.3)) and torch.equal(bias, torch.zeros(1))


def test_few_iterations_lower_the_loss() -> None:
    """Any number of iterations ends below the start's penalized loss, and more do not end higher."""
    rows = frozen(500, 3)
    features, weight, bias = rows.embedded.flatten(1), torch.zeros(12), torch.zeros(1)
    losses = []
    for iterations in (1, 3, 30):
        config = ScoringConfig(fine_tune_iterations=iterations)
        fitted, offset = fit_head(features, rows.label, weight, bias, config)
        parameters = numpy.append(fitted.double().numpy(), float(offset))
        label = rows.label.double().numpy()
        losses.append(penalized_loss(parameters, features.double().numpy(), label, numpy.zeros(12), 1e-4))
    assert numpy.log(2) > losses[0] >= losses[1] >= losses[2]


def log_loss(logit: Tensor, label: Tensor) -> float:
    """Mean binary cross-entropy in float64."""
    return float(binary_cross_entropy_with_logits(logit.double(), label.double()))


def test_score_without_fine_tuning_is_the_supernets_log_loss() -> None:
    """The head as it is: the log loss of the supernet's own forward."""
    whole, valid = supernet(), frozen(300, 4)
    for architecture in architectures(5):
        with torch.no_grad():
            expected = log_loss(whole(valid.dense, valid.embedded, architecture), valid.label)
        found = score(extract(whole, architecture), None, valid, ScoringConfig())
        assert found == pytest.approx(expected, rel=1e-6)


def test_score_with_fine_tuning_fits_the_head_alone() -> None:
    """The network's own weights stay, and with rows to fit on the score is that of the fitted head on valid rows."""
    whole, valid, fine_tune = supernet(), frozen(300, 5), frozen(600, 6)
    (architecture,) = architectures(1)
    network = extract(whole, architecture)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    config = ScoringConfig()
    found = score(network, fine_tune, valid, config)
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())
    with torch.no_grad():
        features = network.features(fine_tune.dense, fine_tune.embedded)
        weight, bias = before["head.weight"][0], before["head.bias"]
    weight, bias = fit_head(features, fine_tune.label, weight, bias, config)
    with torch.no_grad():
        judged = network.features(valid.dense, valid.embedded)
    assert found == pytest.approx(log_loss(judged @ weight + bias, valid.label), rel=1e-6)
    assert found < score(network, None, valid, config)


RANK = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("shared", sys.argv[1])
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
with shared.join("cpu") as processes:
    print(json.dumps(shared.scores(processes)))
"""


def scores(processes: Processes) -> list[float]:
    """Of seven candidates with fine-tuning."""
    rows = frozen(400, 7), frozen(300, 8)
    return score_all(supernet(), architectures(7), *rows, ScoringConfig(), processes)


@pytest.mark.slow
def test_scores_do_not_depend_on_ranks_or_threads(ranks: Ranks) -> None:
    """Seven candidates on two ranks (one has four, one three) and on one rank with one and three threads: the same bits
    in the same order, each that of the candidate scored alone; the number of threads is put back."""
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            with join("cpu") as processes:
                found.append(scores(processes))
            assert torch.get_num_threads() == count
        torch.set_num_threads(1)
        whole, rows = supernet(), (frozen(400, 7), frozen(300, 8))
        alone = [score(extract(whole, one), *rows, ScoringConfig()) for one in architectures(7)]
    finally:
        torch.set_num_threads(threads)
    assert found == [alone, alone] and len(set(alone)) == 7
    two = [json.loads(process.stdout.splitlines()[-1]) for process in ranks(2, RANK, __file__)]
    assert two == [alone, alone]
