"""What every stage's program shares: its command line, the process group, the run folder, the data set.

python -m pipeline.<stage> [named run] [--run NAME] [--data.path ...] [--help]
"""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
import tyro
from torchrec import EmbeddingBagConfig

from modules.space import InputShape, SearchSpace
from modules.space.search_space import SPACES
from pipeline.config import FREE_FIELDS, NAMED_RUNS, RunConfig, describe
from pipeline.data import Dataset, open_dataset
from pipeline.processes import Processes, join
from pipeline.run_folder import RunFolder, plain

STREAMS = ("weights", "paths", "search", "codesign", "validation")
"""The independent random streams of a run, by number."""


@dataclass(frozen=True)
class Session:
    """One process of one stage's program."""

    config: RunConfig
    """The run's configuration."""
    run: RunFolder
    """Its folder."""
    processes: Processes
    """This process among the others."""
    dataset: Dataset
    """The click logs."""

    @property
    def shape(self) -> InputShape:
        """What a row gives the network."""
        schema = self.dataset.schema
        return InputShape(schema.dense_width, schema.num_categories, self.config.model.embedding_width)

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        return SPACES[self.config.model.space]

    def tables(self) -> list[EmbeddingBagConfig]:
        """The schema's embedding tables."""
        schema = self.dataset.schema
        columns = zip(schema.table_names, schema.categories, schema.table_sizes, strict=True)
        return [
            EmbeddingBagConfig(
                name=table,
                feature_names=[column],
                num_embeddings=rows,
                embedding_dim=self.config.model.embedding_width,
            )
            for table, column, rows in columns
        ]

    def numpy_generator(self, stream: str) -> numpy.random.Generator:
        """A generator for one of STREAMS, the same on every rank."""
        return numpy.random.default_rng([self.config.seed, STREAMS.index(stream)])

    def torch_generator(self, stream: str, name: str) -> torch.Generator:
        """A torch generator for one of STREAMS and a name in it, the same on every rank."""
        entropy = [self.config.seed, STREAMS.index(stream), *name.encode()]
        (seed,) = numpy.random.SeedSequence(entropy).generate_state(1, numpy.uint64)
        return torch.Generator().manual_seed(int(seed) >> 1)

    def say(self, line: str) -> None:
        """Tell the user something, once."""
        if self.processes.is_first:
            print(line, flush=True)


def run_program(stages: Callable[[Session], object], name: str, arguments: Sequence[str] | None = None) -> int:
    """Read the command line, open the run, do the work; returns the exit code. What a user did wrong is one line."""
    try:
        config = read_command_line(name, sys.argv[1:] if arguments is None else list(arguments))
        with join(config.device) as processes:
            stages(open_session(config, processes))
    except (ValueError, OSError) as error:
        if os.environ.get("RANK", "0") == "0" or not _same_everywhere(error):
            print(f"{name}: {error}", file=sys.stderr, flush=True)
        if os.environ.get("TRACEBACK"):
            traceback.print_exc()
        return 1
    except KeyboardInterrupt:
        print(f"{name}: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def read_command_line(name: str, arguments: list[str]) -> RunConfig:
    """`[named run] [--field value ...]` → the configuration."""
    named = arguments.pop(0) if arguments and not arguments[0].startswith("-") else "default"
    if named not in NAMED_RUNS:
        raise ValueError(f"unknown run {named!r}; named runs are {', '.join(NAMED_RUNS)} (or give --field value)")
    runs = "\n".join(f"  {run}: {describe(run)}" for run in NAMED_RUNS)
    description = f"{RunConfig.__doc__}\n\nA first argument names a run to start from:\n{runs}"
    return tyro.cli(RunConfig, prog=name, description=description, default=NAMED_RUNS[named](), args=arguments)


def open_session(config: RunConfig, processes: Processes) -> Session:
    """Claim the run folder and open the data set. Raises ValueError for a folder or data that do not fit."""
    run = RunFolder(Path(config.runs) / config.run)
    processes.on_first(lambda: run.claim(plain(config), FREE_FIELDS))
    processes.on_first(lambda: open_dataset(config.data, str(run.data)).schema.name)  # rank 0 generates, the rest read
    return Session(config, run, processes, open_dataset(config.data, str(run.data)))


def _same_everywhere(error: Exception) -> bool:
    """Whether rank 0 has surely met the same error: what users do wrong is found on every rank alike."""
    return isinstance(error, ValueError)
