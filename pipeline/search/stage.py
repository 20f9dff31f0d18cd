"""The search as a stage of a run: the trained supernet in, candidates.jsonl and winners.json out."""

from pipeline.run.records.candidates import Candidate, Winners, best_candidates, with_scores
from pipeline.run.records.codec import write_lines
from pipeline.run.records.progress import SupernetResult
from pipeline.search.driver import search
from pipeline.session import Session
from pipeline.training.frozen_rows import load_frozen_rows
from pipeline.training.supernet import SUPERNET, load_supernet


def search_supernet(session: Session) -> Winners:
    """Search to the end and write the winners, best first; if that is done, only read them.

    Raises ValueError when every candidate failed; candidates.jsonl then says which they were.
    """
    path = session.folder.winners
    if not session.exists(path):
        candidates = _search(session)
        session.processes.on_first(lambda: write_lines(session.folder.candidates, candidates))
        session.write(path, _winners(session, candidates))
    found = session.read(path, Winners)
    for number, winner in enumerate(found.winners, start=1):
        session.say(
            f"search     winner {number}: validation log loss {winner.score:.4f} on the supernet's weights, "
            f"{winner.multiply_accumulates / 1e6:.2f} MMACs (candidate {winner.index})"
        )
    return found


def _search(session: Session) -> tuple[Candidate, ...]:
    supernet, trainee = load_supernet(session)
    config, dataset, processes = session.config, session.dataset, session.processes
    scoring, tables = config.scoring, trainee.embeddings
    fine_tune = None
    if scoring.fine_tune_rows:
        fine_tune = load_frozen_rows(tables, dataset, "train", scoring.fine_tune_rows, processes, config.seed)
    valid = load_frozen_rows(tables, dataset, "valid", scoring.valid_rows, processes)
    del trainee, tables  # not needed again
    generator = session.numpy_generator("search")
    return search(supernet, fine_tune, valid, config.search, scoring, generator, session.folder, processes)


def _winners(session: Session, candidates: tuple[Candidate, ...]) -> Winners:
    config = session.config
    if not with_scores(candidates):
        raise ValueError(
            f"{session.folder.candidates}: all {len(candidates)} candidates failed: none has a finite log loss on the "
            "supernet's weights; train the supernet with lower learning rates, in a new run"
        )
    return Winners(
        space=session.space.name,
        strategy=config.search.strategy,
        candidates=len(candidates),
        supernet_valid_log_loss=session.read(session.folder.result(SUPERNET), SupernetResult).valid_log_loss,
        winners=best_candidates(candidates, max(1, config.race.from_supernet)),
    )
