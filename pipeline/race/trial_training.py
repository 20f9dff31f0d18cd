"""One training of the race: an architecture from scratch with a recipe, judged on validation rows.

Of most trainings nothing but the outcome is kept; those of finalists leave their weights, which a finalist's first
training to the end would train again.

B batch.
"""

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from modules.space import Architecture
from modules.supernet import Subnet
from pipeline.data import Batch, Stream
from pipeline.run.checkpoint import Checkpoints, steps_done
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.results import finals_stage
from pipeline.session import Session
from pipeline.training.diverged import Diverged
from pipeline.training.loop import begin_random_numbers, train_step
from pipeline.training.row_logits import row_logits
from pipeline.training.schedule import learning_rates
from pipeline.training.stage import EVALUATED_AT_ONCE, own_batch_size
from pipeline.training.standalone import build, build_network, build_trainee, log_loss, train_standalone, with_recipe
from pipeline.training.table_pipeline import TablePipeline
from pipeline.training.table_widths import found_widths
from pipeline.training.trainee import Trainee


@dataclass(frozen=True)
class Job:
    """A training that the race asks for."""

    index: int
    """Its trial's index."""
    name: str
    """What the initial weights follow from, beside the run's seed."""
    architecture: Architecture
    """What is trained."""
    recipe: Recipe
    """How."""
    row_share: float
    """Share of the log's training rows that each pass has."""
    is_kept: bool = False
    """Whether it is trained as a stage of the run, which leaves its weights: all rows then, and `row_share` is 1."""
    max_table_mb: float = 0.0
    """Where it is above 0, and no weights are kept: find the widths of tables of so many MB together."""


@dataclass(frozen=True)
class Outcome:
    """What came of it: a file of the run's folder race/ while the race lasts."""

    job: Job
    """The training."""
    valid_log_loss: float | None
    """Of the best pass, nats per row; None where it failed."""
    failure: str
    """Why it failed."""
    rows: int
    """Rows trained on."""
    seconds: float
    """Wall-clock seconds that it took one process."""
    cpu_s: float
    """CPU-seconds that it took one process."""
    table_widths: tuple[int, ...] = ()
    """The widths that were asked for."""


def run_job(session: Session, job: Job) -> Outcome:
    """Train and judge; a network that diverges, or whose memory there is not, is a failed trial."""
    started, cpu = time.monotonic(), time.process_time()
    failure, found, rows, widths = "", None, 0, tuple[int, ...]()
    try:
        own = with_recipe(session, job.recipe)
        found, rows, widths = (*_train_as_stage(own, job), ()) if job.is_kept else _train_only(own, job)
    except (Diverged, torch.OutOfMemoryError) as error:
        failure = str(error).splitlines()[0]
    seconds, cpu_s = time.monotonic() - started, time.process_time() - cpu
    return Outcome(job, found, failure, rows, round(seconds, 2), round(cpu_s, 2), widths)


def _train_as_stage(session: Session, job: Job) -> tuple[float, int]:
    """Train as a stage of the run; validation log loss on the race's rows, and the rows trained on."""
    contender = build(session, finals_stage(job.index), job.name, job.architecture, job.recipe)
    trained = train_standalone(contender)
    newest = Checkpoints(session.folder.checkpoints(contender.stage), session.processes).newest()
    assert newest is not None, "a trained stage has a checkpoint"
    return _judge(session, job, contender.network, trained.trainee), steps_done(newest) * job.recipe.batch_size


def _train_only(session: Session, job: Job) -> tuple[float, int, tuple[int, ...]]:
    """Train and leave nothing; validation log loss, the rows trained on, and the tables' widths if they are wanted."""
    found, rows, network, trainee = train_passes(session, job)
    widths = found_widths(session, network, trainee, 1e6 * job.max_table_mb) if job.max_table_mb else ()
    return found, rows, widths


def train_passes(session: Session, job: Job) -> tuple[float, int, Subnet, Trainee]:
    """Train a job's passes in the session of its recipe: the least validation log loss of a pass, the rows trained on,
    and what the last pass left."""
    network = build_network(session, job.name, job.architecture)
    trainee = build_trainee(session, network, job.recipe)
    found, rows = list(_passes(session, job, network, trainee))[-1]
    return found, rows, network, trainee


def _passes(session: Session, job: Job, network: Subnet, trainee: Trainee) -> Iterator[tuple[float, int]]:
    """Trains pass by pass; yields the least validation log loss so far and the rows trained on."""
    recipe = job.recipe
    pass_steps, stream = _stream(session, job)
    tables = TablePipeline(trainee.embeddings, stream, _no_position, session.processes.device)
    best = math.inf
    for number in range(recipe.epochs):
        trainee.begin_pass(number, recipe)
        for step in range(number * pass_steps, (number + 1) * pass_steps):
            rates = learning_rates(recipe, step, pass_steps)
            seed = hash((trainee.seed, step, session.processes.rank)) & (2**63 - 1)
            begin_random_numbers(session.processes.device, seed)
            train_step(trainee, trainee.draw_paths(step), tables, recipe, rates, session.processes)
        if recipe.keep_best_pass or number == recipe.epochs - 1:
            found = _judge(session, job, network, trainee)
            yield min(best, found), (number + 1) * pass_steps * recipe.batch_size
            if found >= best:
                break
            best = found
    tables.close()


def _stream(session: Session, job: Job) -> tuple[int, Iterator[Batch]]:
    """Steps of a pass, and the batches of all passes: whole ones, or the same first batches each time."""
    recipe = job.recipe
    whole = session.dataset.rows("train")
    rows = min(whole, round(job.row_share * whole))
    processes = session.processes

    def stream(epochs: int) -> Stream:
        return session.dataset.stream(
            "train",
            own_batch_size(session, recipe),
            processes.rank,
            processes.world_size,
            shuffle_seed=session.config.seed,
            epochs=epochs,
        )

    if rows == whole:
        batches = stream(recipe.epochs)
        return len(batches) // recipe.epochs, batches
    steps = max(1, rows // recipe.batch_size)
    return steps, itertools.chain.from_iterable(_first(stream(1), steps) for _ in range(recipe.epochs))


def _first(stream: Stream, steps: int) -> Iterator[Batch]:
    with stream:
        yield from itertools.islice(stream, steps)


def _no_position() -> dict[str, Any]:
    """A trial is not resumed inside a pass, so its position is not kept."""
    return {}


def _judge(session: Session, job: Job, network: Subnet, trainee: Trainee) -> float:
    """Log loss on the race's validation rows, the same ones for every contender; Platt-scaled, unless that is off."""
    race, processes = session.config.race, session.processes
    batch_size = EVALUATED_AT_ONCE[processes.device.type]
    rows = session.dataset.rows("valid")
    stream = session.dataset.stream(
        "valid", batch_size, processes.rank, processes.world_size, shuffle_seed=None if rows <= race.valid_rows else 0
    )
    steps = -(-min(rows, race.valid_rows) // (batch_size * processes.world_size))
    with stream:
        judged = row_logits(network, trainee.embeddings, itertools.islice(stream, steps), processes)
    return log_loss(session, judged, f"trial {job.index}, {job.name}")
