"""The search: candidates scored in order, stopped after any generation and gone on, the best of them written."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    InputShape,
    multiply_accumulates,
    parameter_count,
    single_operator_any_connection,
)
from modules.supernet import Supernet, extract
from pipeline.run.folder import RunFolder
from pipeline.run.processes import Processes, join
from pipeline.search import driver as search_module
from pipeline.search.candidate import Candidate
from pipeline.search.config import ScoringConfig
from pipeline.search.driver import best, read_winners, search, write_winners
from pipeline.search.scoring import score
from pipeline.search.strategy import SearchConfig
from pipeline.training.frozen_rows import FrozenRows

CONFIG = SearchConfig(initial_population=4, generations=3, tournament=2, children=2)
SCORING = ScoringConfig(fine_tune_rows=0, valid_rows=50)


@pytest.fixture
def processes() -> Iterator[Processes]:
    """A group of one."""
    with join("cpu") as joined:
        yield joined


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    """A supernet with a head that says something."""
    made = Supernet(NASREC_SMALL, InputShape(2, 3, 4), torch.Generator().manual_seed(0))
    nn.init.normal_(made.get_parameter("widest.head.weight"), std=0.1, generator=torch.Generator().manual_seed(1))
    return made


def rows() -> FrozenRows:
    """Validation rows."""
    generator = torch.Generator().manual_seed(2)
    label = (torch.rand(50, generator=generator) < 0.4).float()
    return FrozenRows(torch.rand(50, 2, generator=generator), torch.randn(50, 3, 4, generator=generator), label)


def run_search(supernet: Supernet, run: RunFolder, processes: Processes) -> list[Candidate]:
    """A search in a folder."""
    return search(supernet, None, rows(), CONFIG, SCORING, numpy.random.default_rng(5), run, processes)


def test_candidates_hold_their_own_scores_and_costs(supernet: Supernet, tmp_path: Path, processes: Processes) -> None:
    """Numbered in the order asked, generations in order, each with the score and exact counts of its architecture."""
    found = run_search(supernet, RunFolder(tmp_path), processes)
    assert [candidate.index for candidate in found] == list(range(10))
    assert [candidate.generation for candidate in found] == [0] * 4 + [1] * 2 + [2] * 2 + [3] * 2
    for candidate in found:
        NASREC_SMALL.check(candidate.architecture)
        assert candidate.score == score(extract(supernet, candidate.architecture), None, rows(), SCORING)
        assert candidate.multiply_accumulates == multiply_accumulates(candidate.architecture, supernet.shape)
        assert candidate.parameters == parameter_count(candidate.architecture, supernet.shape)


@pytest.mark.parametrize("saves", [1, 2, 3])
def test_stopped_after_any_save(
    supernet: Supernet, tmp_path: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch, saves: int
) -> None:
    """A search stopped right after a save, and begun again with a fresh generator, ends as one that was not stopped."""
    expected = run_search(supernet, RunFolder(tmp_path), processes)
    (tmp_path / "search_state.json").unlink()
    real, done = search_module._save, []

    def save_then_stop(*arguments: Any) -> None:
        real(*arguments)
        done.append(1)
        if len(done) == saves:
            raise KeyboardInterrupt

    monkeypatch.setattr(search_module, "_save", save_then_stop)
    with pytest.raises(KeyboardInterrupt):
        run_search(supernet, RunFolder(tmp_path), processes)
    monkeypatch.setattr(search_module, "_save", real)
    assert run_search(supernet, RunFolder(tmp_path), processes) == expected


def candidates(scores: list[float]) -> list[Candidate]:
    """Candidates with these scores."""
    generator = numpy.random.default_rng(0)
    return [
        Candidate(index, 0, single_operator_any_connection(NASREC_SMALL, generator), value, 10, 20)
        for index, value in enumerate(scores)
    ]


def test_best_is_stable() -> None:
    """Best first; of equal scores the earlier one; never more than there are."""
    found = candidates([0.5, 0.2, 0.5, 0.2, 0.1])
    assert [candidate.index for candidate in best(found, 4)] == [4, 1, 3, 0]
    assert len(best(found, 99)) == 5


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """winners.json gives back the best candidates exactly; candidates.jsonl holds all of them in order."""
    run, found = RunFolder(tmp_path), candidates([0.1 + 0.2, 0.25, 1 / 3])
    write_winners(run, found, 2, "nasrec_small", "evolution", 0.5)
    assert read_winners(run, NASREC_SMALL) == best(found, 2)
    lines = [json.loads(line) for line in run.candidates.read_text().splitlines()]
    assert [Candidate.from_json(line) for line in lines] == found
    document = json.loads(run.winners.read_text())
    del document["winners"]
    expected = {"space": "nasrec_small", "strategy": "evolution", "candidates": 3, "supernet_valid_log_loss": 0.5}
    assert document == expected


def test_winners_of_another_space(tmp_path: Path) -> None:
    """A network that the run's space does not hold is refused, naming file, winner, block and field."""
    run, generator = RunFolder(tmp_path), numpy.random.default_rng(0)
    found = [Candidate(0, 0, single_operator_any_connection(NASREC_FULL, generator), 0.5, 10, 20)]
    write_winners(run, found, 1, "nasrec_full", "evolution", 0.5)
    assert read_winners(run, NASREC_FULL) == found
    with pytest.raises(
        ValueError, match=r"winners\.json, winner 1: block \d, \w+_operators: .* is not in nasrec_small"
    ):
        read_winners(run, NASREC_SMALL)
