"""Train the supernet: python -m pipeline.train [named run] [--run NAME] [--field value ...]"""

import sys

from pipeline.command_line import run_program

if __name__ == "__main__":  # first: the command line is read before the imports below, which take seconds
    sys.exit(run_program("pipeline.train:train_supernet", "pipeline.train"))


from pipeline.run.records.progress import SupernetResult
from pipeline.session import Session
from pipeline.training.stage import is_trained, train_to_end
from pipeline.training.supernet import SUPERNET, build_supernet, validate_supernet


def train_supernet(session: Session, stage: str = SUPERNET) -> float:
    """Train the supernet to the end; returns its validation log loss. If that is done, it only reads the result.

    `stage`: its place among the run's checkpoints; a study trains others beside the run's own.
    """
    path = session.folder.result(stage)
    if not is_trained(session, stage):
        supernet, trainee = build_supernet(session)
        train_to_end(
            session,
            trainee,
            session.config.supernet,
            stage,
            lambda: validate_supernet(session, supernet, trainee),
        )
        session.write(path, SupernetResult(validate_supernet(session, supernet, trainee)))
    log_loss = session.read(path, SupernetResult).valid_log_loss
    session.say(f"supernet   {session.space.name}: validation log loss {log_loss:.4f} (mean of random paths)")
    return log_loss
