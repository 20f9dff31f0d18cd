"""CPU-seconds of one candidate of a search, in our way and in the published reference's, on the same rows.

pip install --no-deps --target DIR fvcore iopath yacs termcolor tabulate portalocker scikit-learn joblib threadpoolctl
PYTHONPATH=DIR OMP_NUM_THREADS=1 python -m benchmarks.candidate --reference PATH [--check]

The reference builds its supernet, loads the checkpoint into it, fine-tunes the last layer through the masked supernet
and evaluates: its own finetune_and_eval_one_model, with the settings of its search. We extract the candidate and score
it on rows whose embeddings a search looks up once (pipeline/search/scoring.py). The sizes are a tenth of the published
fine-tuning and a fifteenth of the published evaluation; on both sides nearly all of the work grows with the rows.

Left out, each in the reference's favour: the rows are in memory (it parses text anew for each candidate), its
processes and the way of the checkpoint to them, and all but 1,000 rows of each table. It runs a part of its steps, and
the rest is extrapolated linearly; --check also runs one candidate whole. Both sides have the same
architectures, and run in turn, on one thread. The last line is one JSON object: the smaller of the spaces' ratios for
generations.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy
import torch
import tyro
from torch import Tensor

from benchmarks import nasrec_reference
from benchmarks.nasrec_reference import Batch
from benchmarks.supernet_step import SHAPE, TABLE_ROWS, Tables, rows
from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    Architecture,
    SearchSpace,
    canonical,
    multiply_accumulates,
    mutate,
    single_operator_any_connection,
)
from modules.supernet import Supernet
from pipeline.run.processes import Processes
from pipeline.search.judge import Judge
from pipeline.search.scoring import valid_pieces
from pipeline.search.scoring_config import ScoringConfig
from pipeline.training.frozen_rows import FrozenRows, HeldRows

SPACES = {"small": NASREC_SMALL, "full": NASREC_FULL}
FINE_TUNE_BATCH, VALID_BATCH = 512, 8_192
PUBLISHED_CANDIDATES = 2_048
"""Of the published evolution: 128 random ones, then 240 generations of 8."""
CHILDREN = 8


@dataclass(frozen=True)
class Options:
    """Compare the scoring of candidates with the reference's."""

    reference: str
    """Folder of a checkout of facebookresearch/NasRec."""
    architectures: int = 1
    """Random architectures of each space, scored one by one, at least 1."""
    mutations: int = 3
    """Mutations of each of a generation's children, at least 1."""
    measured_children: int = 2
    """Children of a generation that the reference scores, 1 to 8."""
    fine_tune_steps: int = 50
    """Steps of 512 rows that the last layer is fine-tuned for (the published search: 500)."""
    valid_batches: int = 10
    """Batches of 8,192 rows that a candidate is judged on (the published search: 150)."""
    measured_steps: int = 5
    """Fine-tuning steps that the reference runs, at least 2; the rest is extrapolated."""
    measured_batches: int = 2
    """Batches that the reference evaluates, at least 2; the rest is extrapolated."""
    spaces: tuple[Literal["small", "full"], ...] = ("small", "full")
    """The spaces that candidates are drawn from."""
    check: bool = False
    """Let the reference run the first candidate of the first space whole, beside what is extrapolated for it."""
    seed: int = 0
    """Of architectures, rows and weights."""


class Timed:
    """Batches in memory that note the CPU time at which each is asked for, anew each time that they are read."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches
        self.times: list[float] = []

    def __iter__(self) -> Iterator[Batch]:
        self.times = []
        for batch in self.batches:
            self.times.append(time.process_time())
            yield batch

    def seconds_each(self) -> float:
        """CPU-seconds from one batch to the next, their mean."""
        return (self.times[-1] - self.times[0]) / (len(self.times) - 1)


@dataclass(frozen=True)
class ReferenceCost:
    """CPU-seconds of one candidate in the reference's way."""

    fixed: float
    """Building, loading, and all else that happens once."""
    step: float
    """One fine-tuning step."""
    batch: float
    """One batch of the evaluation."""

    def total(self, steps: int, batches: int) -> float:
        """The whole candidate's with so many steps and batches."""
        return self.fixed + steps * self.step + batches * self.batch

    def described(self) -> str:
        """The parts in words."""
        return f"({self.fixed:.1f} s once, {self.step:.2f} s a step, {self.batch:.1f} s a batch)"


class Reference:
    """The reference's way to score candidates of one space."""

    def __init__(self, checkout: str, space: SearchSpace) -> None:
        self.supernets = nasrec_reference.open_reference(checkout)
        self.search = nasrec_reference.open_search(checkout)
        self.space = space
        trained = nasrec_reference.build_supernet(self.supernets, space, SHAPE, TABLE_ROWS, "cpu")
        self.checkpoint = {"model_state_dict": trained.state_dict()}

    def measure(self, architecture: Architecture, train: list[Batch], valid: list[Batch]) -> ReferenceCost:
        """Score one candidate on these batches."""
        timed_train, timed_valid = Timed(train), Timed(valid)
        choice = nasrec_reference.choice_of(architecture, self.space)
        start = time.process_time()
        model: Any = nasrec_reference.new_supernet(self.supernets, self.space, SHAPE, TABLE_ROWS)
        model.configure_choice(choice)
        result = nasrec_reference.fine_tune_and_evaluate(
            self.search, model, self.checkpoint, timed_train, timed_valid, len(train)
        )
        total = time.process_time() - start
        assert all(result["choice"][part] == choice[part] for part in ("micro", "macro")), (
            "the reference scored another architecture"
        )
        step, batch = timed_train.seconds_each(), timed_valid.seconds_each()
        return ReferenceCost(total - len(train) * step - len(valid) * batch, step, batch)


def our_seconds(
    supernet: Supernet, architectures: Sequence[Architecture], train: FrozenRows, valid: FrozenRows
) -> float:
    """CPU-seconds of candidates that are scored together in our way, by the published protocol."""
    steps = len(train.label) // FINE_TUNE_BATCH
    protocol = ScoringConfig(
        "published", len(train.label), published_steps=steps, valid_rows=len(valid.label), stop_errors=0
    )
    judged = HeldRows.of(valid, valid_pieces(len(valid), protocol))
    judge = Judge(supernet, HeldRows.of(train), judged, protocol, Processes(0, 1, torch.device("cpu")), places=1)
    start = time.process_time()
    judge.scores(architectures, ())
    return time.process_time() - start


def generation(space: SearchSpace, mutations: int, draws: numpy.random.Generator) -> list[Architecture]:
    """Different children of a random parent, as many as the published evolution's generations have."""
    parent = single_operator_any_connection(space, draws)
    children: dict[Architecture, Architecture] = {}
    while len(children) < CHILDREN:
        child = parent
        for _ in range(mutations):
            child = mutate(child, space, draws)
        children.setdefault(canonical(child), child)
    return list(children.values())


@torch.no_grad()
def looked_up(tables: Tables, batches: list[Batch]) -> FrozenRows:
    """The batches' rows with their embedding vectors."""
    embedded = torch.cat([tables(ids) for _, ids, _ in batches])
    dense, label = (torch.cat([batch[column] for batch in batches]) for column in (0, 2))
    return FrozenRows(dense, embedded, label[:, 0])


def batches_of(size: int, count: int, seed: int) -> list[Batch]:
    """Random rows in batches as the reference's loaders give them."""
    dense, ids, label = rows(SHAPE, size * count, seed)
    parts: Iterator[tuple[Tensor, ...]] = zip(
        *(column.split(size) for column in (dense, ids, label[:, None])), strict=True
    )
    return [(part[0], part[1], part[2]) for part in parts]


def compare_space(name: str, options: Options, train: list[Batch], valid: list[Batch]) -> float:
    """The reference's CPU-seconds over ours, of a generation of a space; prints that and candidates alone."""
    space = SPACES[name]
    supernet = Supernet(space, SHAPE, torch.Generator().manual_seed(options.seed))
    start = time.process_time()
    tables = Tables(SHAPE)
    fit, judged = looked_up(tables, train), looked_up(tables, valid)
    lookup = time.process_time() - start
    reference = Reference(options.reference, space)
    part = train[: options.measured_steps], valid[: options.measured_batches]
    draws = numpy.random.default_rng(options.seed)
    alone = numpy.zeros(2)
    for index in range(options.architectures):
        architecture = single_operator_any_connection(space, draws)
        ours = our_seconds(supernet, [architecture], fit, judged)
        cost = reference.measure(architecture, *part)
        theirs = cost.total(len(train), len(valid))
        alone += ours, theirs
        million = multiply_accumulates(architecture, SHAPE) / 1e6
        print_row(f"{name} {index}: {million:.2f} M multiply-accumulates", ours, theirs, cost.described())
        if options.check and name == options.spaces[0] and index == 0:
            whole = reference.measure(architecture, train, valid).total(len(train), len(valid))
            print(
                f"  the same candidate run whole by the reference: {whole:.1f} s, {whole / theirs:.3f} x extrapolated"
            )
    print_row(f"{name}: mean of {options.architectures} alone", *(alone / options.architectures))
    children = generation(space, options.mutations, draws)
    ours = our_seconds(supernet, children, fit, judged) / CHILDREN
    costs = [reference.measure(child, *part) for child in children[: options.measured_children]]
    theirs = sum(cost.total(len(train), len(valid)) for cost in costs) / len(costs)
    print_row(f"{name}: {CHILDREN} children, {options.mutations} mutations", ours, theirs, "(each of them)")
    each = lookup / PUBLISHED_CANDIDATES
    print(f"  our lookup of the rows, once a search: {lookup:.2f} s, {each:.5f} s for each of {PUBLISHED_CANDIDATES:,}")
    return theirs / ours


def print_row(what: str, ours: float, theirs: float, note: str = "") -> None:
    """One line of the table: CPU-seconds of both sides and their ratio."""
    print(f"{what:42} {ours:10.2f} {theirs:10.1f} {theirs / ours:8.1f}x  {note}".rstrip(), flush=True)


def main() -> None:
    """Compare the spaces."""
    options = tyro.cli(Options)
    torch.set_num_threads(1)
    train = batches_of(FINE_TUNE_BATCH, options.fine_tune_steps, options.seed)
    valid = batches_of(VALID_BATCH, options.valid_batches, options.seed + 1)
    print(f"{len(train)} steps of {FINE_TUNE_BATCH} rows, {len(valid)} batches of {VALID_BATCH:,}; CPU-seconds")
    print(f"the reference runs {options.measured_steps} and {options.measured_batches}; the rest is extrapolated")
    print(f"{'':42} {'ours':>10} {'reference':>10} {'ratio':>9}")
    ratios = {name: compare_space(name, options, train, valid) for name in options.spaces}
    print("the smallest ratio of the spaces:")
    print(json.dumps({"candidate_vs_reference": round(min(ratios.values()), 2)}))


if __name__ == "__main__":
    main()
