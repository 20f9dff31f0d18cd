"""Train the supernet: python -m pipeline.train [named run] [--run NAME] [--field value ...]"""

import sys

from pipeline.run.files import read_json, write_json
from pipeline.session import Session, run_program
from pipeline.training.stage import is_trained, train_to_end
from pipeline.training.supernet import SUPERNET, build_supernet, validate_supernet


def train_supernet(session: Session) -> float:
    """Train the supernet to the end; returns its validation log loss. Done before: only reads the result."""
    result = session.run.result(SUPERNET)
    if not is_trained(session, SUPERNET):
        supernet, trainee = build_supernet(session)
        train_to_end(session, trainee, session.config.supernet, SUPERNET)
        log_loss = validate_supernet(session, supernet, trainee)
        session.processes.on_first(lambda: write_json(result, {"valid_log_loss": log_loss}))
    valid_log_loss: float = session.processes.on_first(lambda: read_json(result))["valid_log_loss"]
    session.say(f"supernet   {session.space.name}: validation log loss {valid_log_loss:.4f} (mean of random paths)")
    return valid_log_loss


if __name__ == "__main__":
    sys.exit(run_program(train_supernet, "pipeline.train"))
