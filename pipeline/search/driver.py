"""The search loop: ask the strategy, measure and score on the frozen supernet, append to the log, tell the strategy.

candidates.jsonl is all the state there is: a search that was stopped is played again with the candidates in it.
"""

import functools
import math
from collections.abc import Sequence

import numpy
from tqdm import tqdm

from modules.space import Architecture, multiply_accumulates, parameter_count
from modules.supernet import Supernet, extract
from pipeline.run.folder import RunFolder
from pipeline.run.processes import Processes
from pipeline.run.records.candidates import Candidate, best_candidates
from pipeline.run.records.codec import append_lines, drop_cut_line, read_lines
from pipeline.search.config import ScoringConfig
from pipeline.search.latency import latency_us
from pipeline.search.scoring import score_all
from pipeline.search.strategy import SearchConfig, build_strategy
from pipeline.training.frozen_rows import FrozenRows

ASKED_PER_RANK = 8
"""Architectures per rank asked of a strategy between two writes to the log (how many are asked at once does not change
which ones come)."""

_REMOVE = "it is of another search: remove the file to search again"


def search(
    supernet: Supernet,
    fine_tune: FrozenRows | None,
    valid: FrozenRows,
    config: SearchConfig,
    scoring: ScoringConfig,
    generator: numpy.random.Generator,
    folder: RunFolder,
    processes: Processes,
    table_bytes: int,
) -> tuple[Candidate, ...]:
    """Every candidate that was judged, in the order asked; those in candidates.jsonl are not judged again.

    A candidate whose score is not finite has failed, one over the limit of latency is refused; the search continues.
    `table_bytes`: of every candidate's embedding tables. Raises ValueError when the limits leave nothing to search, and
    when candidates.jsonl is of another search.
    """
    strategy = build_strategy(config, supernet.space, supernet.shape, generator)
    recorded = processes.on_first(functools.partial(_recorded, folder, supernet))
    judge = functools.partial(_judge, supernet, fine_tune, valid, config, scoring, processes, table_bytes)
    candidates: tuple[Candidate, ...] = ()
    progress = tqdm(total=config.candidates, desc="search", unit="net", disable=not processes.is_first)
    while architectures := strategy.ask(ASKED_PER_RANK * processes.world_size):
        known = recorded[len(candidates) : len(candidates) + len(architectures)]
        _check_replay(known, architectures, strategy.generation, folder)
        new = judge(architectures[len(known) :], len(candidates) + len(known), strategy.generation)
        if new:
            processes.on_first(functools.partial(append_lines, folder.candidates, new))
        strategy.tell([*known, *new])
        candidates += (*known, *new)
        progress.update(len(architectures))
        for best in best_candidates(candidates, 1):
            progress.set_postfix_str(f"best {best.score:.4f}")
    progress.close()
    if len(recorded) > len(candidates):
        raise ValueError(f"{folder.candidates}: {len(recorded)} lines for {len(candidates)} candidates; {_REMOVE}")
    return candidates


def _judge(
    supernet: Supernet,
    fine_tune: FrozenRows | None,
    valid: FrozenRows,
    config: SearchConfig,
    scoring: ScoringConfig,
    processes: Processes,
    table_bytes: int,
    architectures: Sequence[Architecture],
    first: int,
    generation: int,
) -> tuple[Candidate, ...]:
    """Candidates of the architectures, numbered from `first`: measured where that is asked for, scored if allowed."""
    if not architectures:
        return ()
    latencies = _measured(supernet, architectures, config, processes)
    limit = config.max_latency_us or math.inf
    allowed = [one for one, latency in zip(architectures, latencies, strict=True) if (latency or 0.0) <= limit]
    scores = dict(zip(allowed, score_all(supernet, allowed, fine_tune, valid, scoring, processes), strict=True))
    candidates = []
    for offset, (architecture, latency) in enumerate(zip(architectures, latencies, strict=True)):
        value, reason = scores.get(architecture), ""
        if value is None:
            reason = f"a batch took {latency:.1f} us, over search.max_latency_us {config.max_latency_us:g}"
        elif not math.isfinite(value):
            reason = f"its log loss on the supernet's weights is {value}"
        candidates.append(
            Candidate(
                index=first + offset,
                generation=generation,
                architecture=architecture,
                score=None if reason else value,
                multiply_accumulates=multiply_accumulates(architecture, supernet.shape),
                parameters=parameter_count(architecture, supernet.shape),
                state="refused" if value is None else "failed" if reason else "scored",
                reason=reason,
                table_bytes=table_bytes,
                latency_us=latency,
            )
        )
    return tuple(candidates)


def _measured(
    supernet: Supernet, architectures: Sequence[Architecture], config: SearchConfig, processes: Processes
) -> list[float | None]:
    """Each architecture's latency in microseconds, by one rank while the others wait; None where nobody asks for it."""
    if not config.measures_latency:
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
