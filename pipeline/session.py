"""What every stage's program shares once its command line is read: the process group, the run folder, the data set."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy
import torch
from torchrec import EmbeddingBagConfig, PoolingType
from tqdm import tqdm

from modules.embeddings import BYTES_PER_NUMBER
from modules.space import InputShape, SearchSpace
from modules.space.search_space import space_of
from pipeline.config import FREE_FIELDS, RunConfig
from pipeline.data import Dataset, open_dataset
from pipeline.data.dataset import SPLITS
from pipeline.data.fingerprint import Fingerprint, check_unchanged, fingerprint
from pipeline.run.folder import RunFolder, plain
from pipeline.run.lost import lost_process
from pipeline.run.processes import Processes, is_first_to_say, join
from pipeline.run.records.codec import read_record, write_record
from pipeline.run.records.progress import SupernetResult
from pipeline.run.records.recipe import WIDTH_STEP, numbers_read
from pipeline.run.records.results import Results
from pipeline.run.stopping import STATUS as STOPPED
from pipeline.run.stopping import Stopped, is_stop_asked, sigterm_stops
from pipeline.run.tracking import track
from pipeline.warm_start import begin_warm_start

T = TypeVar("T")

STREAMS = ("weights", "paths", "search", "codesign", "validation", "race")
"""The independent random streams of a run, by number."""


@dataclass(frozen=True)
class Session:
    """One process of one stage's program."""

    config: RunConfig
    """The run's configuration."""
    folder: RunFolder
    """The run's folder."""
    processes: Processes
    """This process among the others."""
    dataset: Dataset
    """The click logs."""
    table_widths: tuple[int, ...] = ()
    """Width of each embedding table, where a recipe gives them widths of their own. Empty: all are as wide as D."""

    @property
    def shape(self) -> InputShape:
        """What a row gives the network."""
        schema, model = self.dataset.schema, self.config.model
        numbers = numbers_read(model.numbers, schema.dense_width)
        return InputShape(numbers, schema.num_categories, model.embedding_width, table_widths=self.table_widths)

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        return space_of(self.config.model.space, self.config.model.precision)

    def tables(self) -> list[EmbeddingBagConfig]:
        """The schema's embedding tables. A list's vectors are averaged: whatever its length, their mean is of the size
        of a single one, and moves in a step as far as it (DECISIONS.md)."""
        schema = self.dataset.schema
        columns = zip(schema.table_names, schema.categories, schema.table_sizes, self.shape.widths, strict=True)
        return [
            EmbeddingBagConfig(
                name=table,
                feature_names=[column],
                num_embeddings=rows,
                embedding_dim=width,
                pooling=PoolingType.MEAN if column in schema.lists else PoolingType.SUM,
            )
            for table, column, rows, width in columns
        ]

    @property
    def lists(self) -> list[tuple[str, str]]:
        """Table and column of each list."""
        schema = self.dataset.schema
        columns = zip(schema.table_names, schema.categories, strict=True)
        return [(table, column) for table, column in columns if column in schema.lists]

    @property
    def table_bytes(self) -> int:
        """Size of the embedding tables, bytes, in float32."""
        return BYTES_PER_NUMBER * sum(table.num_embeddings * table.embedding_dim for table in self.tables())

    def numpy_generator(self, stream: str) -> numpy.random.Generator:
        """A generator for one of STREAMS, the same on every rank."""
        return numpy.random.default_rng([self.config.seed, STREAMS.index(stream)])

    def torch_generator(self, stream: str, name: str) -> torch.Generator:
        """A torch generator for one of STREAMS and a name in it, the same on every rank."""
        entropy = [self.config.seed, STREAMS.index(stream), *name.encode()]
        (seed,) = numpy.random.SeedSequence(entropy).generate_state(1, numpy.uint64)
        return torch.Generator().manual_seed(int(seed) >> 1)

    def exists(self, path: Path) -> bool:
        """Whether a file of the run exists: rank 0's answer, on every rank."""
        return self.processes.on_first(path.exists)

    def read(self, path: Path, kind: type[T]) -> T:
        """The record in a file of the run, read by rank 0, on every rank. Raises ValueError as `read_record` does."""
        return self.processes.on_first(lambda: read_record(path, kind, self.space))

    def write(self, path: Path, record: object) -> None:
        """Write a record to a file of the run, on rank 0; the other ranks wait for it."""
        self.processes.on_first(lambda: write_record(path, record))

    def say(self, line: str) -> None:
        """Print a line for the user, on rank 0 only."""
        if self.processes.is_first:
            print(line, flush=True)


def run_stages(stages: Callable[[Session], object], name: str, config: RunConfig) -> int:
    """Open the run and do the work; returns the exit code. What a user did wrong is one line."""
    try:
        with sigterm_stops(), join(config.device) as processes:
            return _run(stages, name, config, processes)
    except (ValueError, OSError) as error:  # a device that is wrong is so on every rank
        if os.environ.get("RANK", "0") == "0":
            print(f"{name}: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0":  # Ctrl-C in a terminal reaches every rank
            print(f"{name}: stopped; the same command resumes from here", file=sys.stderr)
        return 130


def _run(stages: Callable[[Session], object], name: str, config: RunConfig, processes: Processes) -> int:
    """Do the work; what a user did wrong, or who is gone, is one line, from the rank that met it first. Returns the
    exit code."""
    try:
        with open_session(config, processes) as session:
            stages(session)
            if processes.is_first:
                track(session.folder, found_so_far(session.folder, session.space))
    except Stopped:
        return _say(f"{name}: stopped; the same command resumes from here", STOPPED)
    except (ValueError, OSError) as error:
        return _say(f"{name}: {error}", 1)
    except RuntimeError as error:
        lost = lost_process(error)
        if lost is None:
            raise
        if is_stop_asked():  # the others were stopped too, and have gone
            return _say(f"{name}: stopped; the same command resumes from here", STOPPED)
        return _say(f"{name}: {lost}", 1)
    return 0


def found_so_far(folder: RunFolder, space: SearchSpace) -> dict[str, float | str]:
    """The figures of a run by name, of the stages that have left any."""
    found: dict[str, float | str] = {}
    if folder.result("supernet").exists():
        found["supernet_valid_log_loss"] = read_record(folder.result("supernet"), SupernetResult).valid_log_loss
    if folder.results.exists():
        best = read_record(folder.results, Results, space).best_model
        found |= {
            "best_model": best.name,
            "valid_log_loss": best.valid.log_loss,
            "test_log_loss": best.test.log_loss,
            "multiply_accumulates": best.multiply_accumulates,
        }
        if best.test.auc is not None:
            found["test_auc"] = best.test.auc
    return found


def _say(message: str, status: int) -> int:
    """Print a last line, unless another rank has; returns the exit code."""
    for bar in list(getattr(tqdm, "_instances", ())):
        bar.close()  # it would be drawn again behind the message
    if is_first_to_say(message):
        sys.stderr.write(f"{message}\n")  # under torchrun, print would write the newline by itself
    if os.environ.get("TRACEBACK"):
        traceback.print_exc()
    return status


@contextmanager
def open_session(config: RunConfig, processes: Processes) -> Iterator[Session]:
    """Lock the run folder, open the data set, claim the folder. Raises ValueError for a folder or data that do not fit.

    Rank 0 holds the lock. The folder is claimed last: a command line that does not work does not bind the run's name.
    """
    folder = RunFolder(Path(config.runs) / config.run)
    data = str(folder.data)
    with ExitStack() as held:
        processes.on_first(lambda: held.enter_context(folder.locked()))
        processes.on_first(lambda: folder.check(plain(config), FREE_FIELDS))
        files = processes.on_first(lambda: _log_files(config, folder))
        if config.warm_start:
            processes.on_first(lambda: begin_warm_start(config, folder))
        processes.on_first(lambda: open_dataset(config.data, data).schema.name)  # rank 0 generates, the others read
        dataset = open_dataset(config.data, data)
        _check_ranks(config, dataset, processes.world_size)
        _check_table_limit(config, dataset)
        processes.on_first(dataset.check_labels)
        processes.on_first(lambda: _claim(config, folder, files))
        session = Session(config, folder, processes, dataset)
        if dataset.split_in_words:
            session.say(f"data       split {dataset.split_in_words}")
        _say_capped(session)
        yield session


def _log_files(config: RunConfig, folder: RunFolder) -> Fingerprint:
    """The files of the click log. Raises ValueError where the run was begun with others."""
    if not folder.data_files.exists():
        return fingerprint(config.data)
    found = read_record(folder.data_files, Fingerprint)
    check_unchanged(found, config.data, folder.path)
    return found


def _claim(config: RunConfig, folder: RunFolder, files: Fingerprint) -> None:
    """The folder belongs to this configuration and this log from now on."""
    folder.claim(plain(config), FREE_FIELDS)
    if not folder.data_files.exists():
        folder.data.mkdir(exist_ok=True)
        write_record(folder.data_files, files)


def _say_capped(session: Session) -> None:
    """One line on the tables that are smaller than the log wants them, if there are any."""
    capped = session.dataset.capped_tables
    if capped:
        tables = ", ".join(f"{name} {wanted:,} → {given:,}" for name, (wanted, given) in capped.items())
        session.say(f"data       rows of tables that data.max_table_rows caps: {tables}")


def _check_table_limit(config: RunConfig, dataset: Dataset) -> None:
    """Raise ValueError where the log's tables, as narrow as can be, are larger than race.max_table_mb."""
    limit, least = config.race.max_table_mb, BYTES_PER_NUMBER * WIDTH_STEP * sum(dataset.schema.table_sizes) / 1e6
    if limit and least > limit:
        raise ValueError(
            f"race.max_table_mb is {limit:g}, but tables of width {WIDTH_STEP} take {least:g} MB; "
            "raise it, or lower data.max_table_rows"
        )


def _check_ranks(config: RunConfig, dataset: Dataset, world_size: int) -> None:
    """Raise ValueError now, not after hours, when the ranks cannot share every split's rows and every step's."""
    for split in SPLITS:
        if dataset.rows(split) < world_size:
            raise ValueError(
                f"more ranks than rows: split {split!r} has {dataset.rows(split)} rows for {world_size} ranks; "
                "use fewer processes or more data"
            )
    for stage, training in (("supernet", config.supernet), ("race.recipe", config.race.recipe)):
        batch_size, rows = training.batch_size, dataset.rows("train")
        if batch_size % world_size:
            raise ValueError(
                f"{stage}.batch_size is {batch_size}, which {world_size} ranks cannot share evenly; "
                f"use a multiple of {world_size}"
            )
        if batch_size > rows:
            raise ValueError(
                f"{stage}.batch_size is {batch_size}, but split 'train' has only {rows} rows; "
                f"lower it to {rows} or less, or use more data"
            )
