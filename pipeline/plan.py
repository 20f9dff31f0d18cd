"""Plan a run before it is paid for:

    python -m pipeline.plan [named run] --world-size 8 16 128 --hardware h100 [--data.schema criteo ...]

Needs neither GPUs nor the log: where each embedding table goes, what a GPU holds, how long a step takes and what makes
it so long, as TorchRec's planner and estimators say for the hardware named, with the supernet's all-reduce added. It
prints the tables and writes plan.html. The tables' rows are the schema's (--data.schema, or that of the prepared log in
--data.path), as data.max_table_rows lets them be.
"""

import shlex
import sys

import tyro

from pipeline.command_line import read_command_line
from pipeline.config import NAMED_RUNS
from pipeline.planning.config import PlanConfig


def main(arguments: list[str] | None = None) -> int:
    """Plan what the command line asks for; returns the exit code. What a user did wrong is one line."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        own, others = tyro.cli(PlanConfig, prog="pipeline.plan", args=given, return_unknown_args=True)
        named = others[0] if others and others[0] in NAMED_RUNS else ""
        run = read_command_line("pipeline.plan", list(others))
        from pipeline.planning.stage import plan_run  # after the command line is read: it takes seconds

        plan_run(own, run, named, f"python -m pipeline.plan {shlex.join(given)}")
    except (ValueError, OSError) as error:
        print(f"pipeline.plan: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
