"""The search loop: ask the strategy, score on the frozen supernet, tell the strategy, save the state."""

import functools
import math

import numpy
from tqdm import tqdm

from modules.space import Architecture, multiply_accumulates, parameter_count
from modules.supernet import Supernet
from pipeline.run.folder import RunFolder
from pipeline.run.processes import Processes
from pipeline.run.records.candidates import Candidate, SearchState, best_candidates
from pipeline.run.records.codec import read_record, write_record
from pipeline.search.config import ScoringConfig
from pipeline.search.scoring import score_all
from pipeline.search.strategy import SearchConfig, Strategy, build_strategy
from pipeline.training.frozen_rows import FrozenRows

ASKED_PER_RANK = 8
"""Architectures per rank asked of a strategy between two saves of its state (how many are asked at once does not change
which ones come)."""


def search(
    supernet: Supernet,
    fine_tune: FrozenRows | None,
    valid: FrozenRows,
    config: SearchConfig,
    scoring: ScoringConfig,
    generator: numpy.random.Generator,
    folder: RunFolder,
    processes: Processes,
) -> tuple[Candidate, ...]:
    """Every candidate scored or failed, in the order asked; resumes from search_state.json if there is one.

    A candidate whose score is not finite has failed, and the search continues.
    """
    strategy = build_strategy(config, supernet.space, generator)
    candidates = _resume(folder, strategy, supernet, processes)
    progress = tqdm(
        total=config.candidates, initial=len(candidates), desc="search", unit="net", disable=not processes.is_first
    )
    while architectures := strategy.ask(ASKED_PER_RANK * processes.world_size):
        generation = strategy.generation
        scores = score_all(supernet, architectures, fine_tune, valid, scoring, processes)
        scored = tuple(
            _candidate(len(candidates) + offset, generation, architecture, value, supernet)
            for offset, (architecture, value) in enumerate(zip(architectures, scores, strict=True))
        )
        strategy.tell(scored)
        candidates += scored
        processes.on_first(functools.partial(_save, folder, strategy, candidates))
        progress.update(len(scored))
        for best in best_candidates(candidates, 1):
            progress.set_postfix_str(f"best {best.score:.4f}")
    progress.close()
    return candidates


def _candidate(index: int, generation: int, architecture: Architecture, value: float, supernet: Supernet) -> Candidate:
    return Candidate(
        index=index,
        generation=generation,
        architecture=architecture,
        score=value if math.isfinite(value) else None,
        multiply_accumulates=multiply_accumulates(architecture, supernet.shape),
        parameters=parameter_count(architecture, supernet.shape),
        state="scored" if math.isfinite(value) else "failed",
    )


def _resume(folder: RunFolder, strategy: Strategy, supernet: Supernet, processes: Processes) -> tuple[Candidate, ...]:
    path = folder.search_state
    if not processes.on_first(path.exists):
        return ()
    state = processes.on_first(lambda: read_record(path, SearchState, supernet.space))
    strategy.load_state_dict(state.strategy)
    return state.candidates


def _save(folder: RunFolder, strategy: Strategy, candidates: tuple[Candidate, ...]) -> None:
    write_record(folder.search_state, SearchState(strategy.state_dict(), candidates))
