"""Cheap scores of a network on a supernet's frozen tables: its weights as they are, refitted, or trained further.

Each is a function of (network's architecture, what the supernet gives) and draws nothing, so it is the same wherever it
is computed. Scores from scratch on part of the rows are the race's own trainings (pipeline/race/trial_training.py).

R cached rows.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.space import Architecture
from modules.supernet import OwnWeights, Subnet, Supernet, extract
from pipeline.run.records.recipe import TrainingRecipe
from pipeline.search.scoring import score
from pipeline.search.scoring_config import ScoringConfig
from pipeline.training.frozen_rows import FrozenRows
from pipeline.training.schedule import learning_rates
from pipeline.training.trainee import dense_optimizer, whole


@dataclass(frozen=True)
class Scorer:
    """What scores on one supernet need."""

    supernet: Supernet
    """Trained."""
    train: FrozenRows
    """Training rows with their embeddings looked up: a seeded sample."""
    valid: FrozenRows
    """Validation rows likewise, which give the scores."""
    scoring: ScoringConfig
    """How the head is fitted."""
    recipe: TrainingRecipe
    """How the dense part is trained further."""
    layer_norm: bool
    """Whether fresh networks have layer norms (retrain.layer_norm)."""


Fidelity = Callable[[Scorer, Architecture], float]
"""Validation log loss, nats per row; NaN or infinite where the network overflows."""


def as_is(scorer: Scorer, architecture: Architecture) -> float:
    """The supernet's weights as they are."""
    return score(extract(scorer.supernet, architecture), None, scorer.valid, scorer.scoring)


def head_fitted(scorer: Scorer, architecture: Architecture) -> float:
    """The supernet's weights, the last layer fitted on training rows (`--scoring.…`)."""
    rows = scorer.train.first(scorer.scoring.fine_tune_rows)
    return score(extract(scorer.supernet, architecture), rows, scorer.valid, scorer.scoring)


def warm(scorer: Scorer, architecture: Architecture) -> float:
    """The dense part trained on from the supernet's weights, once over the sample, its tables frozen."""
    return train_dense(extract(scorer.supernet, architecture), scorer.train, scorer.valid, scorer.recipe)


def cold(scorer: Scorer, architecture: Architecture) -> float:
    """The dense part trained from weights of its own, once over the sample, on the supernet's frozen tables."""
    supernet = scorer.supernet
    weights = OwnWeights(torch.Generator().manual_seed(0), scorer.layer_norm)
    network = Subnet(architecture, supernet.shape, weights=weights, integers=supernet.integers)
    nn.init.zeros_(dict(network.named_parameters())["head.weight"])  # as networks from scratch start
    return train_dense(network, scorer.train, scorer.valid, scorer.recipe)


FIDELITIES: dict[str, tuple[str, Fidelity]] = {
    "as_is": ("supernet's weights as they are", as_is),
    "head_fitted": ("supernet's weights, head fitted", head_fitted),
    "warm": ("dense part trained on from the supernet's weights", warm),
    "cold": ("dense part from scratch on the supernet's tables", cold),
}
"""Scores on a supernet by name, each with what it does in a few words."""


def train_dense(network: Subnet, train: FrozenRows, valid: FrozenRows, recipe: TrainingRecipe) -> float:
    """Train a network once over rows whose embeddings do not change; its validation log loss, NaN where it diverges."""
    parameters = dict(network.named_parameters())
    optimizer, slices = dense_optimizer(recipe, parameters), whole(network)(0).slices
    steps = len(train.label) // recipe.batch_size
    if not steps:
        raise ValueError(f"{len(train.label)} cached training rows are less than a batch of {recipe.batch_size}")
    network.train()
    for step in range(steps):
        batch = slice(step * recipe.batch_size, (step + 1) * recipe.batch_size)
        logit = network(train.dense[batch], train.embedded[batch])
        factor = None if train.factor is None else train.factor[batch]
        binary_cross_entropy_with_logits(logit, train.label[batch], factor).backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_([part.leaf for part in slices], recipe.clip_norm)
        if not norm.isfinite():
            return math.nan
        optimizer.step(slices, learning_rates(recipe, step, steps).dense)
    network.eval()
    with torch.no_grad():
        logits = torch.cat([network(chunk.dense, chunk.embedded) for chunk in valid.chunks()])
    return float(binary_cross_entropy_with_logits(logits.double(), valid.label.double(), valid.factor))
