"""Candidates and winners as values and as files."""

import dataclasses
import json
from pathlib import Path
from typing import get_args

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.space import NASREC_FULL, NASREC_SMALL, single_operator_any_connection
from pipeline.run.records.candidates import Candidate, CandidateValue, Winners, best_candidates, with_scores
from pipeline.run.records.codec import from_plain, read_lines, read_record, to_plain, write_lines, write_record


def candidates(*scores: float) -> tuple[Candidate, ...]:
    """Candidates with these scores."""
    generator = numpy.random.default_rng(0)
    return tuple(
        Candidate(index, 0, single_operator_any_connection(NASREC_SMALL, generator), value, 10, 20)
        for index, value in enumerate(scores)
    )


@given(st.integers(0, 2**32), st.floats(allow_nan=False, allow_infinity=False))
@pytest.mark.slow
def test_json_gives_the_candidate_back(seed: int, score: float) -> None:
    """Through JSON text and back a candidate is equal to itself, the score to the last bit."""
    architecture = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(seed))
    candidate = Candidate(seed, 3, architecture, score, 10, 20)
    text = json.dumps(to_plain(candidate), allow_nan=False)
    assert from_plain(json.loads(text), Candidate, "here", NASREC_FULL) == candidate


def test_what_is_no_candidate() -> None:
    """A score that is not finite, a negative count, a missing or unknown field: ValueErrors."""
    (candidate,) = candidates(0.5)
    with pytest.raises(ValueError, match="candidate 0: score is nan"):
        dataclasses.replace(candidate, score=float("nan"))
    with pytest.raises(ValueError, match="parameters is -1"):
        dataclasses.replace(candidate, parameters=-1)
    data = to_plain(candidate)
    with pytest.raises(ValueError, match=r"here: unknown fields \['extra'\]; known are \['index', .*; repair the file"):
        from_plain({**data, "extra": 1}, Candidate, "here", NASREC_SMALL)
    del data["score"]
    with pytest.raises(ValueError, match="here: field 'score': is missing"):
        from_plain(data, Candidate, "here", NASREC_SMALL)


def failed(candidate: Candidate) -> Candidate:
    """The candidate, as one that failed."""
    return dataclasses.replace(candidate, score=None, state="failed", reason="NaN")


def test_one_that_failed(tmp_path: Path) -> None:
    """It has no score, and what was scored has one; written and read it is equal; it is never among the best."""
    first, second, third = candidates(0.5, 0.3, 0.4)
    with pytest.raises(ValueError, match=r"candidate 0: score is 0\.5; one that failed has none"):
        dataclasses.replace(first, state="failed")
    with pytest.raises(ValueError, match="candidate 0: score is None; a log loss is finite"):
        dataclasses.replace(first, score=None)
    with pytest.raises(ValueError, match=r"candidate 0: reason is empty; one that was refused says why"):
        dataclasses.replace(first, score=None, state="refused")
    with pytest.raises(ValueError, match=r"candidate 0: reason is 'slow'; one that was scored has none"):
        dataclasses.replace(first, reason="slow")
    found = (first, failed(second), third)
    write_lines(tmp_path / "candidates.jsonl", found)
    assert tuple(one for _, one in read_lines(tmp_path / "candidates.jsonl", Candidate, NASREC_SMALL)) == found
    assert with_scores(found) == (first, third)
    assert best_candidates(found, 3) == (third, first)
    with pytest.raises(ValueError, match="candidate 1 failed; it cannot be a winner"):
        Winners("nasrec_small", "evolution", 3, 0.5, (first, failed(second)))


def test_values_by_name() -> None:
    """Each value that strategies may ask for is the field of that name; latency only where it was measured."""
    (plain,) = candidates(0.25)
    measured = dataclasses.replace(plain, table_bytes=30, latency_us=41.5)
    assert [measured.value(name) for name in get_args(CandidateValue)] == [0.25, 10, 20, 30, 41.5]
    with pytest.raises(AssertionError, match="latency_us was not measured"):
        plain.value("latency_us")
    for wrong in (0.0, float("inf")):
        with pytest.raises(ValueError, match="candidate 0: latency_us is"):
            dataclasses.replace(plain, latency_us=wrong)


def test_best_is_stable() -> None:
    """Best first; of equal scores the earlier one; never more than there are."""
    found = candidates(0.5, 0.2, 0.5, 0.2, 0.1)
    assert [candidate.index for candidate in best_candidates(found, 4)] == [4, 1, 3, 0]
    assert len(best_candidates(found, 99)) == 5


def test_estimates_stand_behind() -> None:
    """Candidates that were judged on fewer rows than others come after these, whatever their scores."""
    rows = (100, 800, 100, 800)
    found = [
        dataclasses.replace(one, judged_rows=n) for one, n in zip(candidates(0.1, 0.4, 0.2, 0.3), rows, strict=True)
    ]
    assert [one.index for one in best_candidates(tuple(found), 4)] == [3, 1, 0, 2]
    with pytest.raises(ValueError, match="candidate 0: judged_rows is -1"):
        dataclasses.replace(found[0], judged_rows=-1)
    for wrong in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="candidate 0: standard_error is"):
            dataclasses.replace(found[0], standard_error=wrong)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """winners.json and candidates.jsonl give back exactly what was written."""
    found = candidates(0.1 + 0.2, 0.25, 1 / 3)
    winners = Winners("nasrec_small", "evolution", 3, 0.5, best_candidates(found, 2))
    write_record(tmp_path / "winners.json", winners)
    assert read_record(tmp_path / "winners.json", Winners, NASREC_SMALL) == winners
    write_lines(tmp_path / "candidates.jsonl", found)
    read = tuple(one for _, one in read_lines(tmp_path / "candidates.jsonl", Candidate, NASREC_SMALL))
    assert read == found


def test_winners_of_another_space(tmp_path: Path) -> None:
    """A network that the run's space does not hold is refused, naming file, winner, block and field."""
    generator = numpy.random.default_rng(0)
    found = Candidate(0, 0, single_operator_any_connection(NASREC_FULL, generator), 0.5, 10, 20)
    write_record(tmp_path / "winners.json", Winners("nasrec_full", "evolution", 1, 0.5, (found,)))
    message = r"winners\.json: field 'winners\[0\]\.architecture': block \d, \w+_operators: .*nasrec_small"
    with pytest.raises(ValueError, match=message):
        read_record(tmp_path / "winners.json", Winners, NASREC_SMALL)
