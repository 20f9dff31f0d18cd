"""pipeline/search/judge.py: groups of candidates have the scores of each alone, on any number of ranks and threads."""

import dataclasses
import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest
import torch
from torch import nn

from modules.space import NASREC_SMALL, Architecture, InputShape, mutate, single_operator_any_connection
from modules.supernet import Supernet, extract
from pipeline.run.processes import Processes, cpu_threads, join
from pipeline.run.records.candidates import Candidate, best_candidates
from pipeline.search import judge as judge_module
from pipeline.search.judge import Judge
from pipeline.search.racing import Score
from pipeline.search.scoring import score, valid_pieces
from pipeline.search.scoring_config import ScoringConfig
from pipeline.training.frozen_rows import CHUNK_ROWS, FrozenRows, HeldRows

Ranks = Callable[..., list[subprocess.CompletedProcess[str]]]
SHAPE = InputShape(2, 3, 4)
NARROW = dataclasses.replace(NASREC_SMALL, dense_widths=(16, 32), sparse_widths=(16,))
"""Networks that are fitted quickly."""
ALL_ROWS = ScoringConfig(stop_errors=0)
RACING = ScoringConfig(valid_shares=(0.1, 0.5, 1.0), stop_errors=2.0)
PUBLISHED = ScoringConfig(protocol="published", published_steps=12, published_batch=64, stop_errors=0)


def frozen(rows: int, seed: int) -> FrozenRows:
    """Random rows, labels that depend on them."""
    generator = torch.Generator().manual_seed(seed)
    dense = torch.rand(rows, 2, generator=generator)
    embedded = torch.randn(rows, 3, 4, generator=generator)
    label = (torch.rand(rows, generator=generator) < (2 * embedded[:, 0, 0] - dense[:, 1]).sigmoid()).float()
    return FrozenRows(dense, embedded, label)


FIT, VALID = frozen(3 * CHUNK_ROWS + 50, 7), frozen(5 * CHUNK_ROWS + 388, 8)


def supernet() -> Supernet:
    """A supernet whose head is not the zero a new one has."""
    made = Supernet(NARROW, SHAPE, torch.Generator().manual_seed(0))
    nn.init.normal_(made.get_parameter("widest.head.weight"), std=0.1, generator=torch.Generator().manual_seed(1))
    return made


def family(count: int) -> list[Architecture]:
    """Different random architectures, and children of them."""
    generator, found = numpy.random.default_rng(0), dict[Architecture, None]()
    while len(found) < count:
        own = single_operator_any_connection(NARROW, generator)
        found |= {own: None, mutate(own, NARROW, generator): None}
    return list(found)[:count]


@pytest.fixture
def processes() -> Iterator[Processes]:
    """A group of one."""
    with join("cpu") as joined:
        yield joined


def judge_of(
    supernet: Supernet, config: ScoringConfig, processes: Processes, places: int, fit: FrozenRows = FIT
) -> Judge:
    """A judge with this rank's part of the rows."""
    rank, ranks = processes.rank, processes.world_size
    fitted = HeldRows.of(fit) if config.protocol == "published" else HeldRows.of(fit, None, rank, ranks)
    valid = HeldRows.of(VALID, valid_pieces(len(VALID), config), rank, ranks)
    return Judge(supernet, fitted, valid, config, processes, places)


def told(architectures: list[Architecture], scores: list[Score]) -> tuple[Candidate, ...]:
    """Candidates as the driver records them."""
    pairs = enumerate(zip(architectures, scores, strict=True))
    return tuple(Candidate(i, 0, own, one.log_loss, 1, 1, judged_rows=one.rows) for i, (own, one) in pairs)


@pytest.mark.parametrize("config", [ALL_ROWS, PUBLISHED, dataclasses.replace(ALL_ROWS, fine_tune_mb=0.1)])
def test_a_groups_scores_are_those_of_each_alone(processes: Processes, config: ScoringConfig) -> None:
    """To the last bit, whatever the group, with features kept, computed anew or (some are small) both."""
    whole, group = supernet(), family(6)
    with cpu_threads(1):
        alone = [score(extract(whole, one), FIT, VALID, config) for one in group]
    judge = judge_of(whole, config, processes, 1)
    found = judge.scores(group, ())
    assert [one.log_loss for one in found] == alone and {one.rows for one in found} == {len(VALID)}
    assert [one.log_loss for one in judge.scores(group[1:4], ())] == alone[1:4]
    assert len(set(alone)) == 6


def test_racing_reads_fewer_rows_and_finds_the_same_winners(processes: Processes) -> None:
    """Who goes on to the end has the score of all rows; who stops has an estimate of it and read fewer. The best two
    are those of a search in which nobody stops."""
    whole, group = supernet(), family(12)
    raced = judge_of(whole, RACING, processes, 2).scores(group, ())
    slow = judge_of(whole, dataclasses.replace(RACING, stop_errors=1e9), processes, 2).scores(group, ())
    stopped = [(one, other) for one, other in zip(raced, slow, strict=True) if one.rows < len(VALID)]
    assert len(stopped) > 2
    assert all(one.log_loss == other.log_loss for one, other in zip(raced, slow, strict=True) if one.rows == len(VALID))
    for one, other in stopped:
        assert one.error is not None and abs(one.log_loss - other.log_loss) < 5 * one.error
    best = [[own.index for own in best_candidates(told(group, scores), 2)] for scores in (raced, slow)]
    assert best[0] == best[1]


def test_a_group_is_compared_with_the_best_before_it(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second group's scores follow from the candidates before it: a judge that has forgotten them, as after a kill,
    computes the best ones' losses again and says the same; with none before, fewer would have stopped."""
    whole, group = supernet(), family(12)
    with cpu_threads(1):
        group.sort(key=lambda one: score(extract(whole, one), FIT, VALID, ALL_ROWS))  # the better half comes first
    judge = judge_of(whole, RACING, processes, 2)
    before = told(group[:6], judge.scores(group[:6], ()))
    found = judge.scores(group[6:], before)
    fitted: list[Any] = []
    real = judge_module.fitted_heads

    def counted(networks: Any, *own: Any) -> Any:
        fitted.extend(networks)
        return real(networks, *own)

    monkeypatch.setattr(judge_module, "fitted_heads", counted)
    again = judge_of(whole, RACING, processes, 2)
    assert again.scores(group[6:], before) == found and len(fitted) == 6 + 2
    assert again.scores(group[6:], before) == found and len(fitted) == 2 * 6 + 2  # the best ones are remembered
    without = judge_of(whole, RACING, processes, 2).scores(group[6:], ())
    assert sum(one.rows for one in found) < sum(one.rows for one in without)


RANK = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("shared", sys.argv[1])
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
with shared.join("cpu") as processes:
    print(json.dumps(shared.rounds(processes)))
"""


def rounds(processes: Processes) -> list[Any]:
    """Two groups of seven and five candidates that race, and three by the published protocol."""
    whole, group = supernet(), family(12)
    judge = judge_of(whole, RACING, processes, 2)
    first = judge.scores(group[:7], ())
    second = judge.scores(group[7:], told(group[:7], first))
    third = judge_of(whole, PUBLISHED, processes, 1).scores(group[:3], ())
    return [list(dataclasses.astuple(one)) for one in (*first, *second, *third)]


@pytest.mark.slow
def test_scores_do_not_depend_on_ranks_or_threads(ranks: Ranks) -> None:
    """On two ranks (which fit and read parts that are not equal) and on one rank with one and three threads: the same
    bits in the same order; the number of threads is put back."""
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            with join("cpu") as processes:
                found.append(rounds(processes))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1]
    assert len({rows for _, rows, _ in found[0]}) > 1
    two = [json.loads(process.stdout.splitlines()[-1]) for process in ranks(2, RANK, __file__)]
    assert two == [found[0], found[0]]
