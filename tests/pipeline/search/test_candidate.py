"""Candidates as values and as JSON."""

import json

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.space import NASREC_FULL, single_operator_any_connection
from pipeline.search.candidate import Candidate


@given(st.integers(0, 2**32), st.floats(allow_nan=False, allow_infinity=False))
def test_json_gives_the_candidate_back(seed: int, score: float) -> None:
    """Through JSON text and back a candidate is equal to itself, the score to the last bit."""
    architecture = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(seed))
    candidate = Candidate(seed, 3, architecture, score, 10, 20)
    assert Candidate.from_json(json.loads(json.dumps(candidate.to_json(), allow_nan=False))) == candidate


def test_what_is_no_candidate() -> None:
    """A score that is not finite, a negative count, a missing or unknown field: ValueErrors."""
    architecture = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(0))
    with pytest.raises(ValueError, match="candidate 4: score is nan"):
        Candidate(4, 0, architecture, float("nan"), 1, 1)
    with pytest.raises(ValueError, match="parameters is -1"):
        Candidate(4, 0, architecture, 0.5, 1, -1)
    data = Candidate(0, 0, architecture, 0.5, 1, 1).to_json()
    with pytest.raises(ValueError, match="fields"):
        Candidate.from_json({**data, "extra": 1})
    del data["score"]
    with pytest.raises(ValueError, match="'score'"):
        Candidate.from_json(data)
