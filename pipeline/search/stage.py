"""The search as a stage of a run: the trained supernet in, candidates (.jsonl, .parquet) and winners.json out."""

from modules.embeddings import BYTES_PER_NUMBER
from pipeline.run.records.candidates import Candidate, Winners, best_candidates, with_scores
from pipeline.run.records.progress import SupernetResult
from pipeline.search.candidates_table import write_candidates_table
from pipeline.search.config import SearchConfig
from pipeline.search.driver import search
from pipeline.search.scoring import valid_pieces
from pipeline.session import Session
from pipeline.training.frozen_rows import even_pieces, load_held_rows
from pipeline.training.supernet import SUPERNET, load_supernet


def search_supernet(session: Session) -> Winners:
    """Search to the end and write the winners, best first; if that is done, only read them.

    Raises ValueError when no candidate has a score; candidates.jsonl then says which they were, and why.
    """
    path = session.folder.winners
    if not session.exists(path):
        candidates = _search(session)
        session.processes.on_first(lambda: write_candidates_table(session.folder.candidates_table, candidates))
        if len(candidates) < session.config.search.candidates:
            session.say(
                f"search     ended after {len(candidates)} of {session.config.search.candidates} candidates: no further"
                " network was found in the space and within the limits"
            )
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
    scoring, tables, fine_tune = config.scoring, trainee.embeddings, None
    if scoring.fine_tune_rows:
        fitted, is_shared = min(scoring.fine_tune_rows, dataset.rows("train")), scoring.protocol == "fitted"
        cut = even_pieces(0, fitted)
        fine_tune = load_held_rows(tables, dataset, "train", cut, processes, config.seed, is_shared)
    judged = valid_pieces(min(scoring.valid_rows, dataset.rows("valid")), scoring)
    valid = load_held_rows(tables, dataset, "valid", judged, processes, config.seed)
    del trainee, tables  # not needed again
    generator = session.numpy_generator("search")
    table_bytes = BYTES_PER_NUMBER * sum(dataset.schema.table_sizes) * session.shape.embedding_width
    folder = session.folder
    places = max(1, config.race.from_supernet)
    return search(supernet, fine_tune, valid, config.search, scoring, generator, folder, processes, table_bytes, places)


def _winners(session: Session, candidates: tuple[Candidate, ...]) -> Winners:
    config = session.config
    if not with_scores(candidates):
        raise ValueError(f"{session.folder.candidates}: {_nothing_scored(candidates, config.search)}")
    return Winners(
        space=session.space.name,
        strategy=config.search.strategy,
        candidates=len(candidates),
        supernet_valid_log_loss=session.read(session.folder.result(SUPERNET), SupernetResult).valid_log_loss,
        winners=best_candidates(candidates, max(1, config.race.from_supernet)),
    )


def _nothing_scored(candidates: tuple[Candidate, ...], config: SearchConfig) -> str:
    times = [candidate.latency_us or 0.0 for candidate in candidates if candidate.state == "refused"]
    if not times:
        return (
            f"all {len(candidates)} candidates failed: none has a finite log loss on the supernet's weights; train the "
            "supernet with lower learning rates, in a new run"
        )
    return (
        f"of {len(candidates)} candidates {len(times)} are over search.max_latency_us {config.max_latency_us:g} (the "
        f"fastest took {min(times):.1f} us) and {len(candidates) - len(times)} failed; raise the limit, in a new run"
    )
