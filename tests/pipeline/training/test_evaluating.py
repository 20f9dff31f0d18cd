"""pipeline/training/evaluating.py: networks are judged without dropout."""

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.training import metrics, row_logits
from pipeline.training.evaluating import evaluating

ROWS = SimpleNamespace(dense=torch.ones(4096, 1), sparse=None, label=torch.arange(4096) % 2.0, weight=None)
ROWS.to = lambda device: ROWS


class Dropping(nn.Module):
    """A logit of 1, but for dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, dense: Tensor, embedded: Tensor) -> Tensor:
        """[B]."""
        return self.drop(dense)[:, 0]


@pytest.fixture
def no_tables(monkeypatch: pytest.MonkeyPatch) -> Any:
    """No embeddings are looked up; one process."""
    for module in (metrics, row_logits):
        monkeypatch.setattr(module, "embed", lambda embeddings, sparse: None)
    return SimpleNamespace(device=torch.device("cpu"), gather=lambda value: [value])


@pytest.mark.parametrize("mode", [True, False])
def test_nothing_is_dropped_while_judged(no_tables: Any, mode: bool) -> None:
    """Logits and metrics of a network in training are those without dropout, and it goes on in its mode."""
    network = Dropping().train(mode)
    found = row_logits.row_logits(network, None, itertools.repeat(ROWS, 2), no_tables)  # type: ignore[arg-type]
    assert (found.logits == 1).all() and len(found.logits) == 2 * 4096
    judged = metrics.evaluate(network, None, [ROWS], no_tables)  # type: ignore[arg-type, list-item]
    assert judged.log_loss == pytest.approx(found.metrics().log_loss)
    assert network.training == network.drop.training == mode


def test_an_error_leaves_the_mode() -> None:
    """What fails while a network is judged leaves it in training."""
    network = Dropping()
    with pytest.raises(ZeroDivisionError), evaluating(network):
        assert not network.drop.training
        raise ZeroDivisionError
    assert network.drop.training
