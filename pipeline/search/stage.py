"""The search as a stage of a run: the trained supernet in, winners.json out."""

from pipeline.run.files import read_json
from pipeline.search.driver import best, read_winners, search, write_winners
from pipeline.search.strategy import Candidate
from pipeline.session import Session
from pipeline.training.frozen_rows import look_up
from pipeline.training.supernet import SUPERNET, load_supernet


def search_supernet(session: Session) -> list[Candidate]:
    """Search to the end and write the winners, best first; done before: only reads them."""
    run, processes, config = session.run, session.processes, session.config
    if not processes.on_first(run.winners.exists):
        supernet, trainee = load_supernet(session)
        scoring = config.scoring
        fine_tune = None
        if scoring.fine_tune_rows:
            rows = scoring.fine_tune_rows
            fine_tune = look_up(trainee.embeddings, session.dataset, "train", rows, processes, config.seed)
        valid = look_up(trainee.embeddings, session.dataset, "valid", scoring.valid_rows, processes)
        del trainee  # the tables are not needed again
        generator = session.numpy_generator("search")
        candidates = search(supernet, fine_tune, valid, config.search, scoring, generator, run, processes)
        log_loss = processes.on_first(lambda: read_json(run.result(SUPERNET)))["valid_log_loss"]
        processes.on_first(
            lambda: write_winners(
                run, candidates, config.retrain.winners, session.space.name, config.search.strategy, log_loss
            )
        )
    winners = processes.on_first(lambda: read_winners(run, session.space))
    for number, winner in enumerate(best(winners, len(winners)), start=1):
        session.say(
            f"search     winner {number}: validation log loss {winner.score:.4f} on the supernet's weights, "
            f"{winner.multiply_accumulates / 1e6:.2f} MMACs (candidate {winner.index})"
        )
    return winners
