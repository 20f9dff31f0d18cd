"""pipeline/search/fidelities.py: what each cheap score computes, against the networks themselves."""

import math

import numpy
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.space import OPEN, Architecture, InputShape, single_operator_any_connection
from modules.supernet import Supernet, extract
from pipeline.run.records.recipe import TrainingRecipe
from pipeline.search.fidelities import FIDELITIES, Scorer, as_is, cold, train_dense, warm
from pipeline.search.scoring_config import ScoringConfig
from pipeline.training.frozen_rows import FrozenRows

SHAPE = InputShape(2, 3, 4)
RECIPE = TrainingRecipe(batch_size=32, learning_rate=0.05)


def frozen(rows: int, seed: int) -> FrozenRows:
    """Random rows, labels that depend on them."""
    generator = torch.Generator().manual_seed(seed)
    dense, embedded = torch.rand(rows, 2, generator=generator), torch.randn(rows, 3, 4, generator=generator)
    label = (torch.rand(rows, generator=generator) < (3 * embedded[:, 0, 0] - dense[:, 1]).sigmoid()).float()
    return FrozenRows(dense, embedded, label)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    """A supernet with a head that is not zero."""
    supernet = Supernet(OPEN, SHAPE, torch.Generator().manual_seed(0)).eval()
    nn.init.normal_(supernet.parameters_by_name()["head.weight"], std=0.05, generator=torch.Generator().manual_seed(1))
    scoring = ScoringConfig(fine_tune_rows=512)
    return Scorer(supernet, frozen(1024, 1), frozen(512, 2), scoring, RECIPE, layer_norm=True)


@pytest.fixture(scope="module")
def architecture() -> Architecture:
    """A random network."""
    return single_operator_any_connection(OPEN, numpy.random.default_rng(3))


def log_loss(network: nn.Module, rows: FrozenRows) -> float:
    """The network's log loss on all rows at once."""
    with torch.no_grad():
        return float(binary_cross_entropy_with_logits(network(rows.dense, rows.embedded).double(), rows.label.double()))


def test_as_is_is_the_extracted_network(scorer: Scorer, architecture: Architecture) -> None:
    """Its validation log loss, with nothing trained."""
    network = extract(scorer.supernet, architecture).eval()
    assert as_is(scorer, architecture) == pytest.approx(log_loss(network, scorer.valid), rel=1e-6)


@pytest.mark.parametrize("name", sorted(FIDELITIES))
def test_scores_leave_the_supernet_alone(scorer: Scorer, architecture: Architecture, name: str) -> None:
    """The supernet's weights stay, and a network scored twice has the same score."""
    before = {name: weight.detach().clone() for name, weight in scorer.supernet.parameters_by_name().items()}
    _, fidelity = FIDELITIES[name]
    assert fidelity(scorer, architecture) == fidelity(scorer, architecture)
    for own, weight in scorer.supernet.parameters_by_name().items():
        assert torch.equal(weight, before[own])


def test_training_learns(scorer: Scorer, architecture: Architecture) -> None:
    """Once over the rows makes the warm network better than it was, and the cold one better than a half everywhere."""
    assert warm(scorer, architecture) < as_is(scorer, architecture)
    assert cold(scorer, architecture) < math.log(2)


def test_training_is_torchs(scorer: Scorer, architecture: Architecture) -> None:
    """With SGD at a constant rate the dense part ends where torch.optim.SGD ends."""
    recipe = TrainingRecipe(batch_size=256, learning_rate=0.01, optimizer="sgd", schedule="constant", warm_up_share=0)
    own, other = (extract(scorer.supernet, architecture) for _ in range(2))
    found = train_dense(own, scorer.train, scorer.valid, recipe)
    optimizer = torch.optim.SGD(other.parameters(), 0.01)
    for start in range(0, 1024, 256):
        rows = slice(start, start + 256)
        optimizer.zero_grad()
        logit = other(scorer.train.dense[rows], scorer.train.embedded[rows])
        binary_cross_entropy_with_logits(logit, scorer.train.label[rows]).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(other.parameters(), recipe.clip_norm)
        optimizer.step()
    assert found == pytest.approx(log_loss(other.eval(), scorer.valid), rel=1e-5)


def test_what_diverges_is_nan(scorer: Scorer, architecture: Architecture) -> None:
    """Rows that overflow give NaN; too few rows for a batch are an error that says so."""
    rows = FrozenRows(scorer.train.dense, scorer.train.embedded * math.inf, scorer.train.label)
    assert math.isnan(train_dense(extract(scorer.supernet, architecture), rows, scorer.valid, RECIPE))
    with pytest.raises(ValueError, match="10 cached training rows are less than a batch of 32"):
        train_dense(extract(scorer.supernet, architecture), scorer.train.first(10), scorer.valid, RECIPE)
