"""The command line of every stage's program.

python -m pipeline.<stage> [named run] [--run NAME] [--data.path ...] [--help]

It is read before torch and all that needs it are imported, which takes seconds: --help and mistakes answer without.
"""

import argparse
import dataclasses
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import tyro

from pipeline.config import NAMED_RUNS, RunConfig, describe
from pipeline.search.config import SEARCH_CONFIGS

if TYPE_CHECKING:
    from pipeline.session import Session


def run_program(stages: "str | Callable[[Session], object]", name: str, arguments: Sequence[str] | None = None) -> int:
    """Read the command line, open the run, do the work; returns the exit code. What a user did wrong is one line.

    `stages`: the work, or its place, "module:function", which is imported when the command line has been read.
    """
    try:
        config = read_command_line(name, sys.argv[1:] if arguments is None else list(arguments))
    except (ValueError, OSError) as error:
        if os.environ.get("RANK", "0") == "0":  # a command line that is wrong is so on every rank
            print(f"{name}: {error}", file=sys.stderr, flush=True)
        return 1
    from pipeline.session import run_stages

    return run_stages(pkgutil.resolve_name(stages) if isinstance(stages, str) else stages, name, config)


def read_command_line(name: str, arguments: list[str]) -> RunConfig:
    """`[named run] [--field value ...]` → the configuration."""
    named = arguments.pop(0) if arguments and not arguments[0].startswith("-") else "default"
    if named not in NAMED_RUNS:
        raise ValueError(f"unknown run {named!r}; named runs are {', '.join(NAMED_RUNS)} (or give --field value)")
    runs = "\n".join(f"  {run}: {describe(run)}" for run in NAMED_RUNS)
    description = f"{RunConfig.__doc__}\n\nA first argument names a run to start from:\n{runs}"
    default = _with_strategy(_with_own_data(NAMED_RUNS[named](), arguments), arguments)
    return tyro.cli(RunConfig, prog=name, description=description, default=default, args=arguments)


def _with_own_data(config: RunConfig, arguments: list[str]) -> RunConfig:
    """The configuration without the named run's settings of generated data, where the command line names a log."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--data.path", dest="path", default=config.data.path)
    path = parser.parse_known_args(arguments)[0].path
    return dataclasses.replace(config, data=config.data.of_a_log(path)) if path else config


def _with_strategy(config: RunConfig, arguments: list[str]) -> RunConfig:
    """The configuration with the settings of the strategy that the command line names, for as many candidates.

    Each strategy has settings of its own: which options there are depends on it, so it is read before the others.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--search.strategy", dest="strategy", default=config.search.strategy)
    strategy = parser.parse_known_args(arguments)[0].strategy
    if strategy == config.search.strategy:
        return config
    if strategy not in SEARCH_CONFIGS:
        raise ValueError(f"search.strategy is {strategy!r}; choose one of {list(SEARCH_CONFIGS)}")
    return dataclasses.replace(config, search=SEARCH_CONFIGS[strategy].of_size(config.search.candidates))
