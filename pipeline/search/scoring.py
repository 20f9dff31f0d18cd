"""Score candidates on a supernet with frozen embeddings: rows are looked up once, candidates run on dense inputs only.

B batch, I dense inputs, F fields, D embedding width, R cached rows, P width of the features that the head reads.
The tables are frozen, so all ranks together look up each cached row once; every rank then holds the same rows and
scores its own candidates without communication. Fine-tuning the last layer (docs/search_space.md) is a logistic
regression on frozen features: the features are computed once and the fit starts at the supernet's head.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.operators.layers import Linear
from modules.space import Architecture
from modules.supernet import Subnet, Supernet, extract
from pipeline.run.processes import Processes, cpu_threads
from pipeline.search.config import ScoringConfig
from pipeline.training.frozen_rows import FrozenRows


def score(network: Subnet, fine_tune: FrozenRows | None, valid: FrozenRows, config: ScoringConfig) -> float:
    """Validation log loss of a network after fitting its last layer; NaN or infinite where the network overflows."""
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
