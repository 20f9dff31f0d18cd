"""pipeline/race/trial_training.py: a training is a function of its job, and a failure is an outcome."""

import dataclasses

import pytest

from modules.space.handmade import handmade
from pipeline.race.recipes import first_recipes
from pipeline.race.trial_training import Job, run_job
from pipeline.run.records.results import finals_stage
from pipeline.session import Session
from pipeline.training.standalone import build, train_standalone


def job(session: Session, number: int = 0, share: float = 1.0, **changes: object) -> Job:
    """A training of logistic regression with one of the first recipes."""
    recipe = dataclasses.replace(first_recipes(session.config.race, 4)[number], **changes)  # type: ignore[arg-type]
    return Job(7, "logistic_regression", handmade("logistic_regression", session.shape), recipe, share)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_trial_is_the_training_to_the_end(session: Session, number: int) -> None:
    """On whole passes its log loss is what `train_standalone` leaves with the same recipe: same rows, weights, rates
    and passes, whichever pass is the best."""
    asked = job(session, number)
    outcome = run_job(session, asked)
    trained = train_standalone(build(session, "own", asked.name, asked.architecture, asked.recipe))
    assert outcome.valid_log_loss == pytest.approx(trained.metrics.valid.log_loss, rel=1e-6)
    steps = session.dataset.rows("train") // asked.recipe.batch_size
    assert outcome.failure == "" and outcome.rows in {
        epochs * steps * asked.recipe.batch_size for epochs in range(1, asked.recipe.epochs + 1)
    }


def test_a_kept_trial_is_the_same(session: Session) -> None:
    """A training that leaves its weights has the outcome of one that does not, also when a kill cut it off behind
    them; what it leaves is what `train_standalone` finds done."""
    asked = job(session, 0)
    kept = dataclasses.replace(asked, is_kept=True)
    plain, found, again = run_job(session, asked), run_job(session, kept), run_job(session, kept)
    assert (found.valid_log_loss, found.rows) == (again.valid_log_loss, again.rows)
    assert found.valid_log_loss == pytest.approx(plain.valid_log_loss, rel=1e-6) and found.rows == plain.rows
    assert session.folder.result(finals_stage(asked.index)).is_file()


def test_widths_are_found_where_they_are_wanted(session: Session) -> None:
    """A limit on the tables changes nothing of the training; its outcome has widths within the limit."""
    asked = job(session, 2, embedding_width=8)
    sizes = session.dataset.schema.table_sizes
    limit = 4 * 6 * sum(sizes) / 1e6
    plain, found = run_job(session, asked), run_job(session, dataclasses.replace(asked, max_table_mb=limit))
    assert (plain.valid_log_loss, plain.table_widths) == (found.valid_log_loss, ())
    assert set(found.table_widths) <= {4, 8}
    assert 4 * sum(width * rows for width, rows in zip(found.table_widths, sizes, strict=True)) <= 1e6 * limit


def test_twice_the_same(session: Session) -> None:
    """A job trained again has the same log loss to the last bit; another seed of the run has another."""
    asked = job(session, share=0.25)
    first, again = (run_job(session, asked).valid_log_loss for _ in range(2))
    other = dataclasses.replace(session, config=dataclasses.replace(session.config, seed=1))
    assert first == again != run_job(other, asked).valid_log_loss


def test_a_share_of_the_rows(session: Session) -> None:
    """A share of a pass trains on so many rows, each pass on the same ones: passes over few rows fit them."""
    whole, quarter = (run_job(session, job(session, 2, share)) for share in (1.0, 0.25))
    assert quarter.rows == pytest.approx(0.25 * whole.rows, abs=64)
    assert quarter.valid_log_loss != whole.valid_log_loss


def test_a_training_that_diverges_is_an_outcome(session: Session) -> None:
    """With an absurd rate the outcome says so and has no log loss; nothing is raised."""
    outcome = run_job(session, job(session, 2, learning_rate=1e30, clip_norm=1e30))
    assert outcome.valid_log_loss is None and outcome.failure
