"""The search loop: ask the strategy, measure and score on the frozen supernet, append to the log, tell the strategy.

candidates.jsonl is all the state there is: a search that was stopped is played again with the candidates in it.
"""

import functools
import math
from collections.abc import Sequence

import numpy

from modules.space import Architecture, multiply_accumulates, parameter_count
from modules.supernet import Supernet, extract
from pipeline.run.folder import RunFolder
from pipeline.run.processes import Processes
from pipeline.run.progress_bar import progress_bar
from pipeline.run.records.candidates import Candidate, best_candidates
from pipeline.run.records.codec import append_lines, drop_cut_line, read_lines
from pipeline.search.config import SearchConfig
from pipeline.search.judge import Judge
from pipeline.search.latency import latency_us
from pipeline.search.racing import Score
from pipeline.search.scoring_config import ScoringConfig
from pipeline.search.strategy import build_strategy
from pipeline.training.frozen_rows import HeldRows

_REMOVE = "it is of another search: remove the file to search again"


def search(
    supernet: Supernet,
    fine_tune: HeldRows | None,
    valid: HeldRows,
    config: SearchConfig,
    scoring: ScoringConfig,
    generator: numpy.random.Generator,
    folder: RunFolder,
    processes: Processes,
    table_bytes: int,
    places: int = 1,
) -> tuple[Candidate, ...]:
    """Every candidate that was judged, in the order asked; those in candidates.jsonl keep what was said of them.

    A candidate whose score is not finite has failed, one over the limit of latency is refused; the search continues.
    `fine_tune`, `valid`: as Judge takes them. `table_bytes`: of every candidate's embedding tables. `places`:
    candidates that are to win, at least 1. Raises ValueError when the limits leave nothing to search, and when
    candidates.jsonl is of another search.
    """
    strategy = build_strategy(config, supernet.space, supernet.shape, generator)
    recorded = processes.on_first(functools.partial(_recorded, folder, supernet))
    judge = Judge(supernet, fine_tune, valid, scoring, processes, places)
    candidates: tuple[Candidate, ...] = ()
    progress = progress_bar(total=config.candidates, desc="search", unit="net", disable=not processes.is_first)
    while architectures := strategy.ask(scoring.asked_together):
        known = recorded[len(candidates) : len(candidates) + len(architectures)]
        _check_replay(known, architectures, strategy.generation, folder)
        new = architectures[len(known) :]
        latencies = _measured(supernet, new, config, processes)
        found = _judged(judge, known, new, latencies, candidates, config)
        added = tuple(
            _candidate(supernet, config, len(candidates) + len(known) + place, strategy.generation, *one, table_bytes)
            for place, one in enumerate(zip(new, latencies, found, strict=True))
        )
        if added:
            processes.on_first(functools.partial(append_lines, folder.candidates, added))
        strategy.tell([*known, *added])
        candidates += (*known, *added)
        progress.update(len(architectures))
        for best in best_candidates(candidates, 1):
            progress.set_postfix_str(f"best {best.score:.4f}")
    progress.close()
    if len(recorded) > len(candidates):
        raise ValueError(f"{folder.candidates}: {len(recorded)} lines for {len(candidates)} candidates; {_REMOVE}")
    return candidates


def _judged(
    judge: Judge,
    known: Sequence[Candidate],
    new: Sequence[Architecture],
    latencies: Sequence[float | None],
    before: tuple[Candidate, ...],
    config: SearchConfig,
) -> list[Score | None]:
    """Scores of the new ones of a group; None for those over the limit of latency.

    The group's candidates are compared with each other, so where a kill has left some of its lines (`known`) those are
    judged again beside the new ones.
    """
    limit = config.max_latency_us or math.inf
    allowed = [(latency or 0.0) <= limit for latency in latencies]
    if not any(allowed):
        return [None] * len(new)
    again = [one.architecture for one in known if one.state != "refused"]
    chosen = [one for one, is_allowed in zip(new, allowed, strict=True) if is_allowed]
    scores = iter(judge.scores([*again, *chosen], before)[len(again) :])
    return [next(scores) if is_allowed else None for is_allowed in allowed]


def _candidate(
    supernet: Supernet,
    config: SearchConfig,
    index: int,
    generation: int,
    architecture: Architecture,
    latency: float | None,
    score: Score | None,
    table_bytes: int,
) -> Candidate:
    """What became of an architecture, and why if it has no score."""
    reason = ""
    if score is None:
        reason = f"a batch took {latency:.1f} us, over search.max_latency_us {config.max_latency_us:g}"
    elif not math.isfinite(score.log_loss):
        reason = f"its log loss on the supernet's weights is {score.log_loss}"
    return Candidate(
        index=index,
        generation=generation,
        architecture=architecture,
        score=score.log_loss if score is not None and not reason else None,
        multiply_accumulates=multiply_accumulates(architecture, supernet.shape),
        parameters=parameter_count(architecture, supernet.shape),
        state="refused" if score is None else "failed" if reason else "scored",
        reason=reason,
        table_bytes=table_bytes,
        latency_us=latency,
        judged_rows=score.rows if score is not None else 0,
        standard_error=score.error if score is not None else None,
    )


def _measured(
    supernet: Supernet, architectures: Sequence[Architecture], config: SearchConfig, processes: Processes
) -> list[float | None]:
    """Each architecture's latency in microseconds, by one rank while the others wait; None where nobody asks for it."""
    if not config.measures_latency or not architectures:
        return [None] * len(architectures)
    return processes.on_first(
        lambda: [latency_us(extract(supernet, architecture), supernet.shape) for architecture in architectures]
    )


def _recorded(folder: RunFolder, supernet: Supernet) -> tuple[Candidate, ...]:
    """What an earlier start has judged; a last line that was cut by a kill is dropped."""
    drop_cut_line(folder.candidates)
    return tuple(one for _, one in read_lines(folder.candidates, Candidate, supernet.space))


def _check_replay(
    known: Sequence[Candidate], asked: Sequence[Architecture], generation: int, folder: RunFolder
) -> None:
    for candidate, architecture in zip(known, asked, strict=False):
        if (candidate.architecture, candidate.generation) != (architecture, generation):
            raise ValueError(
                f"{folder.candidates}: candidate {candidate.index} is not the one that this search asks for; {_REMOVE}"
            )
