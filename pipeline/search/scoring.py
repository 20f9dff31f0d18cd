"""A network's score on a supernet's weights: its validation log loss after its last layer is fitted on training rows.

Here are the parts, and one network's score; pipeline/search/judge.py scores groups of candidates, with the same bits.
The tables are frozen, so rows are looked up once (pipeline/training/frozen_rows.py) and networks run on dense inputs
only. Of the validation rows only losses are kept.

n networks, R rows, r rows of a chunk, P features that a head reads.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.operators.layers import Linear
from modules.supernet import Subnet
from pipeline.run.processes import Processes
from pipeline.search.head_rows import HeadRows
from pipeline.search.lockstep import Head, OnCores, fit_heads
from pipeline.search.published import Features, train_heads
from pipeline.search.racing import mean
from pipeline.search.scoring_config import ScoringConfig
from pipeline.training.frozen_rows import FrozenRows, HeldRows, Piece, even_pieces


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
            rows = HeldRows.of(fine_tune)
            kept = is_kept(network, rows, config)
            features_kept = [features_of(features, chunk)[0] for chunk in fine_tune.chunks()] if kept else []
            alone = Processes(0, 1, fine_tune.label.device)
            (head,) = fitted_heads([network], [HeadRows(network, rows, features_kept)], config, alone, _in_turn)
    parts = (valid.part(*ends) for share in pieces(len(valid), config) for ends in share)
    return mean(torch.cat([row_losses(features, [head], part)[0] for part in parts]))


def own_head(network: Subnet) -> Head:
    """The network's last layer."""
    head = network.head
    assert isinstance(head, Linear) and head.bias is not None
    return head.weight.detach()[0], head.bias.detach()


def is_kept(network: Subnet, rows: HeldRows, config: ScoringConfig) -> bool:
    """Whether the network's features of the rows held here are few enough to be kept while its head is fitted."""
    weight, _ = own_head(network)
    return len(rows.rows) * len(weight) * weight.element_size() <= config.fine_tune_mb * 1e6


def fitted_heads(
    networks: Sequence[Subnet],
    rows: Sequence[HeadRows],
    config: ScoringConfig,
    processes: Processes,
    on_cores: OnCores,
) -> list[Head]:
    """The networks' heads fitted on the rows, of which the ranks hold parts. A collective."""
    heads = [own_head(network) for network in networks]
    fitted = fit_heads(heads, rows, config, processes, on_cores)
    # float64 was for the fit: rows are judged in float32
    return [(w.to(old), b.to(old)) for (w, b), (old, _) in zip(fitted, heads, strict=True)]


def _in_turn(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    return [function(item) for item in items]


def pieces(rows: int, config: ScoringConfig) -> list[list[Piece]]:
    """Validation rows in pieces, for each share that candidates are judged on in turn."""
    ends = [max(1, round(share * rows)) for share in config.valid_shares] if config.stop_errors else [rows]
    found, start = list[list[Piece]](), 0
    for end in dict.fromkeys(ends):
        found.append(even_pieces(start, end))
        start = end
    return found


def valid_pieces(rows: int, config: ScoringConfig) -> list[Piece]:
    """All of these, one after the other: how the validation rows are shared out among ranks."""
    return [piece for share in pieces(rows, config) for piece in share]


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
