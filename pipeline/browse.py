"""All runs of a folder side by side on one page: python -m pipeline.browse [runs/]

Writes index.html into the folder: a table that can be sorted, the races' curves, and every run's winner.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class BrowseConfig:
    """Write one page on all runs of a folder."""

    runs: tyro.conf.Positional[str] = "runs"
    """Folder that holds the runs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and print its path; returns the exit code."""
    config = tyro.cli(BrowseConfig, prog="pipeline.browse", description=__doc__, args=arguments)
    from pipeline.report.runs_page import write_runs_page  # after the command line is read: it takes seconds

    try:
        print(write_runs_page(Path(config.runs)))
    except (ValueError, OSError) as error:
        print(f"pipeline.browse: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
