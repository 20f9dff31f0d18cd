"""Each kind of fault once, on two real ranks: the training ends as if it had not happened."""

import json
import os
import tempfile
from typing import Any

import pytest

from benchmarks.faults import KINDS, drawn

STRUCK = """
import json, sys
from pathlib import Path
from benchmarks.faults import Fault, strike_and_resume, untouched_training
folder = Path(sys.argv[1])
with untouched_training(folder) as (data, untouched):
    for number, (kind, ranks) in enumerate(json.loads(sys.argv[2])):
        found = strike_and_resume(folder / str(number), data, untouched, Fault(kind, 21, 0.0, 1, ranks))
        print(json.dumps([kind, found.statuses, found.lost, found.repeated, found.is_equal]))
"""

ENDED: dict[str, list[list[int | None]]] = {
    "kill a rank": [[1, -9], [0, 0]],
    "kill all": [[-9, -9], [0]],
    "SIGTERM to a rank": [[143, 143], [0, 0]],
    "SIGTERM to all": [[143, 143], [0, 0]],
    "newest checkpoint cut": [[-9, -9], [0, 0]],
    "newest checkpoint NaN": [[-9, -9], [0, 0]],
    "disk full for a while": [[0, 0]],
    "disk full to the end": [[1, 1], [0, 0]],
    "store gone": [[1, 1], [0, 0]],
    "hung rank": [[1, None], [0, 0]],
}
"""How the ranks of each start end: 1 with an error in one line, 143 stopped, negative by a signal, None killed as it
hung. Where all were killed, the training goes on on one rank."""


@pytest.fixture(scope="module")
def outcomes(ready: Any) -> dict[str, list[Any]]:
    """What each kind of fault left, by kind."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    kinds = [(kind, len(ends[-1])) for kind, ends in ENDED.items()]
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        (ended,) = ready.run([(STRUCK, [folder, json.dumps(kinds)], {**os.environ, "OMP_NUM_THREADS": "1"})])
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("[")]
    return {kind: rest for kind, *rest in found}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault(outcomes: dict[str, list[Any]], kind: str) -> None:
    """No row is lost or read twice by the steps that survive, and on two ranks the weights and metrics are those of a
    training that nothing struck; every rank ends as it should, and none hangs."""
    statuses, lost, repeated, is_equal = outcomes[kind]
    assert statuses == ENDED[kind]
    assert (lost, repeated, is_equal) == (0, 0, True)


def test_all_kinds_are_drawn() -> None:
    """Every kind in turn, the same for the same seed, and now and then a training goes on on one rank."""
    faults = drawn(50, seed=0)
    assert faults == drawn(50, seed=0) != drawn(50, seed=1)
    assert [fault.kind for fault in faults[: len(KINDS)]] == list(KINDS)
    assert {fault.ranks_after for fault in faults} == {1, 2}
