"""Write a run's report.html again: python -m pipeline.report --run NAME."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class ReportConfig:
    """Write a run's report.html from the files in its folder."""

    run: str
    """Name of the run: its folder under --runs."""
    runs: str = "runs"
    """Folder that holds the runs."""
    command: str = ""
    """Command to show in the report; empty: this one."""


def main(arguments: list[str] | None = None) -> None:
    """Write the report that the command line asks for and print its path; a user's mistake ends with one line."""
    given = sys.argv[1:] if arguments is None else arguments
    config = tyro.cli(ReportConfig, args=given)
    from pipeline.report.page import write_report  # after the command line is read: it takes seconds

    command = config.command or f"python -m pipeline.report {shlex.join(given)}"
    try:
        print(write_report(Path(config.runs) / config.run, command))
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
