"""The search loop: candidates scored in order; stopped after any save and resumed, it ends the same."""

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from modules.space import (
    NASREC_SMALL,
    InputShape,
    multiply_accumulates,
    parameter_count,
)
from modules.supernet import Supernet, extract
from pipeline.run.folder import RunFolder
from pipeline.run.processes import Processes, cpu_threads, join
from pipeline.run.records.candidates import Candidate, SearchState
from pipeline.run.records.codec import read_record
from pipeline.search import driver as search_module
from pipeline.search.config import ScoringConfig
from pipeline.search.driver import search
from pipeline.search.evolution import EvolutionConfig
from pipeline.search.random_search import RandomSearchConfig
from pipeline.search.scoring import score
from pipeline.search.strategy import SearchConfig
from pipeline.training.frozen_rows import FrozenRows

CONFIG = EvolutionConfig(initial_population=4, generations=3, tournament=2, children=2)
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


def run_search(supernet: Supernet, folder: RunFolder, processes: Processes) -> tuple[Candidate, ...]:
    """A search in a folder."""
    return search(supernet, None, rows(), CONFIG, SCORING, numpy.random.default_rng(5), folder, processes)


def test_candidates_hold_their_own_scores_and_costs(supernet: Supernet, tmp_path: Path, processes: Processes) -> None:
    """Numbered in the order asked, generations in order, each with the score and exact counts of its architecture."""
    found = run_search(supernet, RunFolder(tmp_path), processes)
    assert [candidate.index for candidate in found] == list(range(10))
    assert [candidate.generation for candidate in found] == [0] * 4 + [1] * 2 + [2] * 2 + [3] * 2
    for candidate in found:
        NASREC_SMALL.check(candidate.architecture)
        with cpu_threads(1):  # as the search scores
            assert candidate.score == score(extract(supernet, candidate.architecture), None, rows(), SCORING)
        assert candidate.multiply_accumulates == multiply_accumulates(candidate.architecture, supernet.shape)
        assert candidate.parameters == parameter_count(candidate.architecture, supernet.shape)


@pytest.fixture
def poisoned(supernet: Supernet) -> Supernet:
    """The supernet with NaN weights that some of its networks read."""
    made = copy.deepcopy(supernet)
    first_dot_product = next(name for name, _ in made.named_parameters() if "dot_product" in name)
    made.get_parameter(first_dot_product).data.fill_(torch.nan)
    return made


@pytest.mark.parametrize("config", [CONFIG, RandomSearchConfig(candidates=10)])
def test_a_candidate_that_diverges_has_failed(
    poisoned: Supernet, tmp_path: Path, processes: Processes, config: SearchConfig
) -> None:
    """A candidate with a NaN weight has no score and is recorded with its architecture; the search continues to its
    end, all others have the scores that they have alone, and the state that is left gives the same again."""

    def run_with(folder: Path) -> tuple[Candidate, ...]:
        folder.mkdir(exist_ok=True)
        generator = numpy.random.default_rng(5)
        return search(poisoned, None, rows(), config, SCORING, generator, RunFolder(folder), processes)

    found = run_with(tmp_path / "whole")
    assert len(found) == 10
    with cpu_threads(1):
        scores = [score(extract(poisoned, candidate.architecture), None, rows(), SCORING) for candidate in found]
    assert [candidate.state for candidate in found] == ["scored" if math.isfinite(one) else "failed" for one in scores]
    assert {candidate.state for candidate in found} == {"scored", "failed"}
    assert [candidate.score for candidate in found if candidate.score is not None] == [
        one for one in scores if math.isfinite(one)
    ]
    state = read_record(tmp_path / "whole" / "search_state.json", SearchState, NASREC_SMALL)
    assert state.candidates == found == run_with(tmp_path / "whole")


@pytest.mark.parametrize("saves", [1, 2, 3])
@pytest.mark.slow
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
