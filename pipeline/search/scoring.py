"""Score candidates on a supernet whose embeddings stand still: look rows up once, run candidates dense-only.

B batch, I dense inputs, F fields, D embedding width, R cached rows, P width of the features that the head reads.
The tables are frozen, so each cached row is looked up once, collectively; every rank then holds the same rows and
scores its own candidates without traffic. The last layer's fine-tuning (search_space.md, "scoring a candidate") is a
logistic regression on frozen features: the features are computed once and the fit starts at the supernet's head.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchrec.distributed import DistributedModelParallel

from modules.embeddings import embed
from modules.space import Architecture
from modules.supernet import Subnet, Supernet, extract
from modules.supernet.layers import Linear
from pipeline.data import Dataset
from pipeline.processes import Processes, cpu_threads

CHUNK_ROWS = 2048
"""Rows a candidate runs on at once: activations stay in cache, and a score does not depend on free memory."""


@dataclass(frozen=True)
class ScoringConfig:
    """How a candidate is judged. The published search fine-tunes on 500 × 512 rows and judges on 150 × 8,192."""

    fine_tune_rows: int = 8_192
    """Training rows that the last layer is fitted on before scoring; 0: the supernet's head as it is."""
    fine_tune_iterations: int = 10
    """L-BFGS iterations of that fit, at least 1."""
    fine_tune_penalty: float = 1e-4
    """Weight of the squared distance from the supernet's head in the fit, at least 0."""
    valid_rows: int = 8_192
    """Validation rows that give the score (fewer if the split is smaller), at least 1."""

    def __post_init__(self) -> None:
        for name, least in (
            ("fine_tune_rows", 0),
            ("fine_tune_iterations", 1),
            ("fine_tune_penalty", 0),
            ("valid_rows", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"scoring.{name} is {getattr(self, name)}; it must be at least {least}")


@dataclass(frozen=True)
class FrozenRows:
    """Rows of a split with their embedding vectors: what a dense-only network needs."""

    dense: Tensor
    """[R, I]."""
    embedded: Tensor
    """[R, F, D]."""
    label: Tensor
    """[R]."""

    def chunks(self) -> list["FrozenRows"]:
        """The rows in pieces of CHUNK_ROWS."""
        parts = zip(*(column.split(CHUNK_ROWS) for column in (self.dense, self.embedded, self.label)), strict=True)
        return [FrozenRows(*part) for part in parts]


@torch.no_grad()
def look_up(
    embeddings: DistributedModelParallel,
    dataset: Dataset,
    split: str,
    rows: int,
    processes: Processes,
    shuffle_seed: int | None = None,
) -> FrozenRows:
    """The first `rows` rows of a split (all, if it has fewer), looked up on every rank in the same order.

    Every rank reads the same rows, so that caches, and with them scores, are the same on any number of ranks.
    """
    parts: list[FrozenRows] = []
    found = 0
    stream = dataset.stream(split, CHUNK_ROWS, shuffle_seed=shuffle_seed, drop_last=False)
    for batch in stream:
        batch = batch.to(processes.device)
        parts.append(FrozenRows(batch.dense, embed(embeddings, batch.sparse), batch.label))
        found += batch.num_rows
        if found >= rows:
            break
    columns = ("dense", "embedded", "label")
    return FrozenRows(*(torch.cat([getattr(part, name) for part in parts])[:rows] for name in columns))


def score(network: Subnet, fine_tune: FrozenRows | None, valid: FrozenRows, config: ScoringConfig) -> float:
    """Validation log loss of a network after fitting its last layer."""
    with torch.no_grad():
        judged = _features(network, valid)  # [R, P]
    head = network.head
    assert isinstance(head, Linear) and head.bias is not None
    weight, bias = head.weight.detach()[0], head.bias.detach()  # [P], [1]
    if fine_tune is not None:
        with torch.no_grad():
            features = _features(network, fine_tune)
        weight, bias = fit_head(features, fine_tune.label, weight, bias, config)
    return float(binary_cross_entropy_with_logits((judged @ weight + bias).double(), valid.label.double()))


def fit_head(
    features: Tensor, label: Tensor, weight: Tensor, bias: Tensor, config: ScoringConfig
) -> tuple[Tensor, Tensor]:
    """Logistic regression on features [R, P] from a starting point: weight [P] and bias [1] after some L-BFGS."""
    fitted, offset = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [fitted, offset], max_iter=config.fine_tune_iterations, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(features @ fitted + offset, label)
        loss = loss + config.fine_tune_penalty * (fitted - weight).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return fitted.detach(), offset.detach()


def score_all(
    supernet: Supernet,
    architectures: Sequence[Architecture],
    fine_tune: FrozenRows | None,
    valid: FrozenRows,
    config: ScoringConfig,
    processes: Processes,
) -> list[float]:
    """Scores of the architectures, in order, on every rank; ranks and a rank's cores share the work.

    A candidate is scored on one core whatever the number of ranks, so its score is the same to the last bit.
    """

    def score_one(architecture: Architecture) -> float:
        return score(extract(supernet, architecture), fine_tune, valid, config)

    own = architectures[processes.rank :: processes.world_size]
    if processes.device.type == "cuda":
        scores = [score_one(architecture) for architecture in own]
    else:
        cores = torch.get_num_threads()
        with cpu_threads(1), ThreadPoolExecutor(cores) as pool:
            scores = list(pool.map(score_one, own))
    gathered = processes.gather(scores)
    return [
        gathered[index % processes.world_size][index // processes.world_size] for index in range(len(architectures))
    ]


def _features(network: Subnet, rows: FrozenRows) -> Tensor:
    """[R, P], chunk by chunk."""
    parts: list[Tensor] = [network.features(chunk.dense, chunk.embedded) for chunk in rows.chunks()]
    return torch.cat(parts)
