"""The search loop: candidates judged in order, appended to the log; whatever a kill leaves of it, it ends the same."""

import copy
import dataclasses
import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modules.space import (
    NASREC_SMALL,
    Architecture,
    InputShape,
    multiply_accumulates,
    parameter_count,
)
from modules.supernet import Supernet, extract
from pipeline.run.folder import RunFolder
from pipeline.run.processes import Processes, cpu_threads, join
from pipeline.run.records.candidates import Candidate, best_candidates
from pipeline.run.records.codec import line_of
from pipeline.search import driver as search_module
from pipeline.search.config import EvolutionConfig, NSGA2Config, RandomSearchConfig, SearchConfig
from pipeline.search.driver import search
from pipeline.search.racing import Score
from pipeline.search.scoring import score, valid_pieces
from pipeline.search.scoring_config import ScoringConfig
from pipeline.training.frozen_rows import FrozenRows, HeldRows

CONFIG = EvolutionConfig(initial_population=4, generations=3, tournament=2, children=2)
SCORING = ScoringConfig(fine_tune_rows=0, valid_rows=50, stop_errors=0, asked_together=3)


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


def run_search(
    supernet: Supernet,
    folder: Path,
    processes: Processes,
    config: SearchConfig = CONFIG,
    scoring: ScoringConfig = SCORING,
) -> tuple[Candidate, ...]:
    """A search in a folder."""
    folder.mkdir(exist_ok=True)
    generator = numpy.random.default_rng(5)
    valid = HeldRows.of(rows(), valid_pieces(50, scoring))
    return search(supernet, None, valid, config, scoring, generator, RunFolder(folder), processes, 4_000)


def test_candidates_hold_their_own_scores_and_costs(supernet: Supernet, tmp_path: Path, processes: Processes) -> None:
    """Numbered in the order asked, generations in order, each with the score and exact counts of its architecture."""
    found = run_search(supernet, tmp_path, processes)
    assert [candidate.index for candidate in found] == list(range(10))
    assert [candidate.generation for candidate in found] == [0] * 4 + [1] * 2 + [2] * 2 + [3] * 2
    for candidate in found:
        NASREC_SMALL.check(candidate.architecture)
        with cpu_threads(1):  # as the search scores
            assert candidate.score == score(extract(supernet, candidate.architecture), None, rows(), SCORING)
        assert candidate.multiply_accumulates == multiply_accumulates(candidate.architecture, supernet.shape)
        assert candidate.parameters == parameter_count(candidate.architecture, supernet.shape)
        assert (candidate.table_bytes, candidate.latency_us, candidate.reason) == (4_000, None, "")
        assert candidate.judged_rows == 50 and candidate.standard_error is not None
    assert (tmp_path / "candidates.jsonl").read_text() == "".join(map(line_of, found))


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
    end, all others have the scores that they have alone, and the log that is left gives the same again."""
    found = run_search(poisoned, tmp_path, processes, config)
    assert len(found) == 10
    with cpu_threads(1):
        scores = [score(extract(poisoned, candidate.architecture), None, rows(), SCORING) for candidate in found]
    assert [candidate.state for candidate in found] == ["scored" if math.isfinite(one) else "failed" for one in scores]
    assert {candidate.state for candidate in found} == {"scored", "failed"}
    assert [candidate.score for candidate in found if candidate.score is not None] == [
        one for one in scores if math.isfinite(one)
    ]
    reasons = {candidate.reason for candidate in found if candidate.state == "failed"}
    assert reasons == {"its log loss on the supernet's weights is nan"}
    assert found == run_search(poisoned, tmp_path, processes, config)


SEARCHES = (CONFIG, NSGA2Config(population=5, generations=1), RandomSearchConfig(candidates=10))


@pytest.fixture
def cheap_scores(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Scores of the architecture's text in place of a supernet's, which the others of its group and the best before it
    change; how many were asked for in each call."""
    asked: list[int] = []

    class CheapJudge:
        def __init__(self, *_: Any) -> None:
            pass

        def scores(self, architectures: Sequence[Architecture], before: tuple[Candidate, ...]) -> list[Score]:
            asked.append(len(architectures))
            numbers = [zlib.crc32(repr(one.to_json()).encode()) for one in architectures]
            company = 1e-3 * min(numbers) / 2**32 + sum(one.log_loss for one in best_candidates(before, 1))
            values = [math.nan if number % 5 == 0 else number / 2**32 + company for number in numbers]
            return [Score(value, 50, None if math.isnan(value) else 0.0) for value in values]

    monkeypatch.setattr(search_module, "Judge", CheapJudge)
    return asked


@pytest.mark.parametrize("config", SEARCHES, ids=lambda config: config.strategy)
def test_cut_at_any_byte(
    supernet: Supernet, tmp_path: Path, processes: Processes, cheap_scores: list[int], config: SearchConfig
) -> None:
    """Wherever a kill cuts the log, the search that is begun again judges only what is missing, and the log ends as one
    that was never cut, byte for byte. What is left of a group is judged again with its others: they are compared."""
    expected = run_search(supernet, tmp_path, processes, config)
    log = tmp_path / "candidates.jsonl"
    whole = log.read_bytes()

    @settings(max_examples=12, deadline=None)
    @given(st.integers(0, len(whole)))
    def cut(size: int) -> None:
        log.write_bytes(whole[:size])
        cheap_scores.clear()
        assert run_search(supernet, tmp_path, processes, config) == expected
        assert log.read_bytes() == whole
        kept = whole[:size].count(b"\n")
        assert 0 <= sum(cheap_scores) - (len(expected) - kept) < SCORING.asked_together
        assert bool(cheap_scores) == (kept < len(expected))

    cut()


def test_a_race_goes_on_where_it_was_cut(supernet: Supernet, tmp_path: Path, processes: Processes) -> None:
    """With real scores, some of which are of fewer rows because others were better, the log ends the same wherever it
    was cut: between groups, within one, and at its beginning."""
    scoring = dataclasses.replace(SCORING, valid_shares=(0.4, 1.0), stop_errors=1.0)
    expected = run_search(supernet, tmp_path, processes, scoring=scoring)
    assert {candidate.judged_rows for candidate in expected} == {20, 50}
    log = tmp_path / "candidates.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    for kept in (0, 2, 4, 5, 9):
        log.write_text("".join(lines[:kept]))
        assert run_search(supernet, tmp_path, processes, scoring=scoring) == expected
        assert log.read_text() == "".join(lines)


def test_what_a_search_writes_grows_with_what_is_new(
    supernet: Supernet, tmp_path: Path, processes: Processes, cheap_scores: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the whole search each candidate is written once: all lines that are appended are the log's."""
    real, written = search_module.append_lines, list[int]()

    def append(path: Path, new: Sequence[Candidate]) -> None:
        written.append(len(new))
        real(path, new)

    monkeypatch.setattr(search_module, "append_lines", append)
    assert len(run_search(supernet, tmp_path, processes)) == sum(written) == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["candidates.jsonl"]


@pytest.mark.parametrize("change", ["other architecture", "other generation", "more lines"])
def test_a_log_of_another_search(
    supernet: Supernet, tmp_path: Path, processes: Processes, cheap_scores: list[int], change: str
) -> None:
    """A candidate that this search does not ask for is a ValueError that names the file and changes nothing in it."""
    run_search(supernet, tmp_path, processes)
    log = tmp_path / "candidates.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    match change:
        case "other architecture":
            lines[3], message = (
                lines[4].replace('"index": 4', '"index": 3'),
                "candidate 3 is not the one that this search",
            )
        case "other generation":
            lines[5], message = (
                lines[5].replace('"generation": 1', '"generation": 2'),
                "candidate 5 is not the one that",
            )
        case _:
            lines, message = [*lines, lines[-1]], "11 lines for 10 candidates"
    log.write_text("".join(lines))
    before = log.read_bytes()
    with pytest.raises(ValueError, match=rf"candidates\.jsonl: {message}.*remove the file to search again"):
        run_search(supernet, tmp_path, processes)
    assert log.read_bytes() == before


def test_candidates_over_the_latency_limit_are_refused(
    supernet: Supernet,
    tmp_path: Path,
    processes: Processes,
    cheap_scores: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is measured once, one over the limit is recorded with its time and never scored, and a search that is
    begun again reads what was measured: other times in the second start change nothing of it."""
    times = iter([90.0, 110.0] * 50)
    monkeypatch.setattr(search_module, "latency_us", lambda *_: next(times))
    config = RandomSearchConfig(candidates=10, max_latency_us=100.0)
    found = run_search(supernet, tmp_path, processes, config)
    assert [one.latency_us for one in found] == [90.0, 110.0] * 5 and sum(cheap_scores) == 5
    assert all((one.state == "refused") == (one.latency_us == 110.0) for one in found)
    assert found[1].reason == "a batch took 110.0 us, over search.max_latency_us 100"
    monkeypatch.setattr(search_module, "latency_us", lambda *_: 1.0)
    log = tmp_path / "candidates.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:7]))
    again = run_search(supernet, tmp_path, processes, config)
    assert again[:7] == found[:7] and [one.latency_us for one in again[7:]] == [1.0] * 3
