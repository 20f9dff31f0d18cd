"""pipeline/search/lockstep.py: heads fitted together, on rows shared out among ranks, are those fitted alone."""

import json
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from pipeline.run.processes import Processes, join
from pipeline.search import head_fit
from pipeline.search.head_rows import HeadRows
from pipeline.search.lockstep import Head, fit_heads
from pipeline.search.scoring_config import ScoringConfig
from pipeline.training.frozen_rows import CHUNK_ROWS, FrozenRows, HeldRows

Ranks = Callable[..., list[subprocess.CompletedProcess[str]]]
CONFIG = ScoringConfig(fine_tune_penalties=(1e-1, 1e-3), fine_tune_tolerance=1e-12)
WIDTHS = (3, 17, 40)
"""Features that the heads read: they take unequally many rounds."""


def in_turn(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """Of each item."""
    return [function(item) for item in items]


def problems(count: int) -> list[tuple[Head, torch.Tensor, torch.Tensor]]:
    """Heads to begin with, features [R, P], labels [R] that are the same for all."""
    generator, found = torch.Generator().manual_seed(0), list[tuple[Head, torch.Tensor, torch.Tensor]]()
    label = (torch.rand(count, generator=generator) < 0.3).float()
    for width in WIDTHS:
        features = torch.randn(count, width, generator=generator) + label[:, None] / width
        found.append(((torch.zeros(width), torch.zeros(1)), features, label))
    return found


def held(features: torch.Tensor, label: torch.Tensor, rank: int, ranks: int) -> HeadRows:
    """A rank's part of them."""
    rows = HeldRows.of(FrozenRows(features, features[:, :0], label), None, rank, ranks)
    return HeadRows(None, rows, [part.dense for _, _, part in rows.held(0, len(rows))])


def fitted(processes: Processes, count: int) -> list[list[float]]:
    """All heads, as numbers."""
    own = problems(count)
    rows = [held(features, label, processes.rank, processes.world_size) for _, features, label in own]
    found = fit_heads([head for head, _, _ in own], rows, CONFIG, processes, in_turn)
    return [torch.cat(head).tolist() for head in found]


@pytest.mark.parametrize("count", [1, 5, CHUNK_ROWS, 3 * CHUNK_ROWS + 7])
def test_together_they_are_what_they_are_alone(count: int) -> None:
    """To the last bit, though they share rounds; none is what it began with, but for a single row."""
    alone = Processes(0, 1, torch.device("cpu"))
    together = fitted(alone, count)
    for (head, features, label), found in zip(problems(count), together, strict=True):
        (own,) = fit_heads([head], [held(features, label, 0, 1)], CONFIG, alone, in_turn)
        assert torch.cat(own).tolist() == found
        assert any(found)
    assert fit_heads([], [], CONFIG, alone, in_turn) == []


def test_a_network_that_overflows_is_alone_in_it() -> None:
    """Its head is NaN, and the others are what they are without it."""
    alone = Processes(0, 1, torch.device("cpu"))
    expected, own = fitted(alone, 2000), problems(2000)
    for place in (0, 1999):  # where the curvature is guessed, and where nothing but the loss is computed
        features = own[1][1].clone()
        features[place, 2] = torch.inf
        rows = [held(one[1] if number != 1 else features, one[2], 0, 1) for number, one in enumerate(own)]
        found = fit_heads([head for head, _, _ in own], rows, CONFIG, alone, in_turn)
        assert [torch.cat(head).tolist() for head in (found[0], found[2])] == [expected[0], expected[2]]
        assert bool(torch.cat(found[1]).isnan().all())


RANK = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("shared", sys.argv[1])
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
shared.head_fit.CURVATURE_ROWS = 900
with shared.join("cpu") as processes:
    print(json.dumps([shared.fitted(processes, count) for count in (3, 2000)]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_on_many_ranks_they_are_those_of_one(ranks: Ranks, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """To the last bit, on every rank: also where a rank holds no rows, or is no fit's home."""
    monkeypatch.setattr(head_fit, "CURVATURE_ROWS", 900)
    with join("cpu") as processes:
        expected = [fitted(processes, rows) for rows in (3, 2000)]
    found = [json.loads(process.stdout.splitlines()[-1]) for process in ranks(count, RANK, __file__)]
    assert found == [expected] * count
