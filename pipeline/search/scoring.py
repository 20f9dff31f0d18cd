"""A network's score on a supernet's weights: its validation log loss after its last layer is fitted on training rows.

Here are the parts, and one network's score; pipeline/search/judge.py scores groups of candidates, with the same bits.
The tables are frozen, so rows are looked up once (pipeline/training/frozen_rows.py) and networks run on dense inputs
only. Of the validation rows only losses are kept.

n networks, R rows, r rows of a chunk, P features that a head reads.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.operators.layers import Linear
from modules.supernet import Subnet
from pipeline.search.config import ScoringConfig
from pipeline.search.head_fit import fit_head
from pipeline.search.head_rows import HeadRows
from pipeline.search.published import Features, train_heads
from pipeline.search.racing import mean
from pipeline.training.frozen_rows import CHUNK_ROWS, FrozenRows

Head = tuple[Tensor, Tensor]
"""Weight [P] and bias [1]."""


def score(network: Subnet, fine_tune: FrozenRows | None, valid: FrozenRows, config: ScoringConfig) -> float:
    """Validation log loss of a network after its last layer is fitted; NaN or infinite where the network overflows.

    The last layer is the network's own where `fine_tune` is None or empty. The network is left in inference mode.
    """
    network.eval()

    def features(dense: Tensor, embedded: Tensor) -> tuple[Tensor]:
        return (network.features(dense, embedded),)

    head = own_head(network)
    if fine_tune is not None and len(fine_tune):
        if config.protocol == "published":
            (head,) = train_heads(features, [head], fine_tune, config)
        else:
            kept = is_kept(network, fine_tune, config)
            chunks = [features_of(features, chunk)[0] for chunk in fine_tune.chunks()] if kept else []
            head = fitted_head(network, fine_tune, chunks, config)
    parts = (valid.part(*ends) for share in pieces(len(valid), config) for ends in share)
    return mean(torch.cat([row_losses(features, [head], part)[0] for part in parts]))


def own_head(network: Subnet) -> Head:
    """The network's last layer."""
    head = network.head
    assert isinstance(head, Linear) and head.bias is not None
    return head.weight.detach()[0], head.bias.detach()


def is_kept(network: Subnet, rows: FrozenRows, config: ScoringConfig) -> bool:
    """Whether the network's features of these rows are few enough to be kept while its head is fitted."""
    weight, _ = own_head(network)
    return len(rows) * len(weight) * weight.element_size() <= config.fine_tune_mb * 1e6


def fitted_head(network: Subnet, rows: FrozenRows, kept: Sequence[Tensor], config: ScoringConfig) -> Head:
    """The head fitted on rows, whose features are `kept`, chunk by chunk, or else computed anew at each reading."""
    weight, bias = own_head(network)
    fitted, offset = fit_head(HeadRows(network, rows, kept), weight, bias, config)
    return fitted.to(weight.dtype), offset.to(bias.dtype)  # float64 was for the fit: rows are judged in float32


def pieces(rows: int, config: ScoringConfig) -> list[list[tuple[int, int]]]:
    """Validation rows as (first, one past the last) of chunks, for each share that candidates are judged on in turn."""
    ends = [max(1, round(share * rows)) for share in config.valid_shares] if config.stop_errors else [rows]
    found, start = list[list[tuple[int, int]]](), 0
    for end in dict.fromkeys(ends):
        found.append([(first, min(first + CHUNK_ROWS, end)) for first in range(start, end, CHUNK_ROWS)])
        start = end
    return found


@torch.no_grad()
def features_of(features: Features, chunk: FrozenRows) -> list[Tensor]:
    """What each network's head reads of a chunk, [r, P]."""
    return list(features(chunk.dense, chunk.embedded))


@torch.no_grad()
def row_losses(features: Features, heads: Sequence[Head], chunk: FrozenRows) -> Tensor:
    """Log losses [n, r] of networks with these heads, each times what its row counts for, nats; computed in float64,
    kept in float32."""
    losses = torch.empty(len(heads), len(chunk), device=chunk.label.device)
    label = chunk.label.double()
    for own, (weight, bias), read in zip(losses, heads, features(chunk.dense, chunk.embedded), strict=True):
        logit = (read @ weight + bias).double()  # [r]
        own.copy_(binary_cross_entropy_with_logits(logit, label, chunk.factor, reduction="none"))
    return losses
