"""The search: ask the strategy, score on the frozen supernet, tell; after each generation the state is on disk.

Reads checkpoints/supernet, writes candidates.jsonl, search_state.json and winners.json.
"""

import functools
import json
from typing import Any

import numpy
from tqdm import tqdm

from modules.space import Architecture, SearchSpace, multiply_accumulates, parameter_count
from modules.supernet import Supernet
from pipeline.run.files import atomic_write, read_json, write_json
from pipeline.run.folder import RunFolder
from pipeline.run.processes import Processes
from pipeline.search.config import ScoringConfig
from pipeline.search.scoring import score_all
from pipeline.search.strategy import Candidate, SearchConfig, Strategy, build_strategy
from pipeline.training.frozen_rows import FrozenRows

ASKED_A_RANK = 8
"""Architectures asked of a strategy for every rank between two saves of its state (what is asked at once does not
change which ones come)."""


def search(
    supernet: Supernet,
    fine_tune: FrozenRows | None,
    valid: FrozenRows,
    config: SearchConfig,
    scoring: ScoringConfig,
    generator: numpy.random.Generator,
    run: RunFolder,
    processes: Processes,
) -> list[Candidate]:
    """Every candidate scored, in the order asked; goes on from search_state.json if there is one."""
    strategy = build_strategy(config, supernet.space, generator)
    candidates = _resume(run, strategy, processes)
    progress = tqdm(
        total=config.candidates, initial=len(candidates), desc="search", unit="net", disable=not processes.is_first
    )
    while architectures := strategy.ask(ASKED_A_RANK * processes.world_size):
        generation = strategy.generation
        scores = score_all(supernet, architectures, fine_tune, valid, scoring, processes)
        scored = [
            _candidate(len(candidates) + offset, generation, architecture, value, supernet)
            for offset, (architecture, value) in enumerate(zip(architectures, scores, strict=True))
        ]
        strategy.tell(scored)
        candidates += scored
        processes.on_first(functools.partial(_save, run, strategy, candidates))
        progress.update(len(scored))
        progress.set_postfix_str(f"best {min(candidate.score for candidate in candidates):.4f}")
    progress.close()
    return candidates


def best(candidates: list[Candidate], count: int) -> list[Candidate]:
    """The `count` best candidates, best first; of equal scores the earlier one."""
    return sorted(candidates, key=lambda candidate: (candidate.score, candidate.index))[:count]


def write_winners(
    run: RunFolder, candidates: list[Candidate], count: int, space: str, strategy: str, supernet_valid_log_loss: float
) -> None:
    """Write candidates.jsonl and winners.json."""
    with atomic_write(run.candidates, text=True) as file:
        file.writelines(json.dumps(candidate.to_json()) + "\n" for candidate in candidates)
    winners: dict[str, Any] = {
        "space": space,
        "strategy": strategy,
        "candidates": len(candidates),
        "supernet_valid_log_loss": supernet_valid_log_loss,
        "winners": [candidate.to_json() for candidate in best(candidates, count)],
    }
    write_json(run.winners, winners)


def read_winners(run: RunFolder, space: SearchSpace) -> list[Candidate]:
    """The winners of a finished search, best first.

    Raises ValueError when there is none yet, and where the file holds something else or a network outside the space.
    """
    if not run.winners.exists():
        raise ValueError(f"{run.winners} does not exist; run the search first (python -m pipeline.search)")
    document = read_json(run.winners)
    entries = document.get("winners") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise ValueError(f'{run.winners}: no list "winners" in it; remove the file to search again')
    winners = []
    for number, entry in enumerate(entries, start=1):
        try:
            winners.append(Candidate.from_json(entry))
            space.check(winners[-1].architecture)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{run.winners}, winner {number}: {error}; repair the file, or remove it to search again"
            ) from error
    return winners


def _candidate(index: int, generation: int, architecture: Architecture, value: float, supernet: Supernet) -> Candidate:
    return Candidate(
        index=index,
        generation=generation,
        architecture=architecture,
        score=value,
        multiply_accumulates=multiply_accumulates(architecture, supernet.shape),
        parameters=parameter_count(architecture, supernet.shape),
    )


def _resume(run: RunFolder, strategy: Strategy, processes: Processes) -> list[Candidate]:
    state = processes.on_first(lambda: read_json(run.search_state) if run.search_state.exists() else None)
    if state is None:
        return []
    strategy.load_state_dict(state["strategy"])
    return [Candidate.from_json(entry) for entry in state["candidates"]]


def _save(run: RunFolder, strategy: Strategy, candidates: list[Candidate]) -> None:
    state = {"strategy": strategy.state_dict(), "candidates": [candidate.to_json() for candidate in candidates]}
    write_json(run.search_state, state)
