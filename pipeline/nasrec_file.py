"""Write a run's model as an architecture file of the authors' code (facebookresearch/NasRec), which can train it.

python -m pipeline.nasrec_file --run NAME [--model NAME] [--file PATH]

For runs with --model.space nasrec_small or nasrec_full: the authors' format holds architectures of these two spaces.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

from pipeline.run.files import write_json


@dataclass(frozen=True)
class NasrecFileConfig:
    """Write a run's model as an architecture file of the authors' code."""

    run: str
    """Name of the run: its folder under --runs."""
    runs: str = "runs"
    """Folder that holds the runs."""
    model: str = ""
    """Name of the model of results.json to write; empty: the best by validation, of any kind."""
    file: str = ""
    """The file to write; empty: nasrec.json in the run's folder."""


def write_nasrec_file(config: NasrecFileConfig) -> Path:
    """Write the file; returns its path.

    Raises ValueError for a run without results, an unknown model, and one that is not of NASRec's spaces (hand-made
    models never are).
    """
    from modules.space import SPACES, to_nasrec_json  # here, when the command line has been read: they take seconds
    from pipeline.export import chosen_model
    from pipeline.report.run_records import read_run
    from pipeline.run.records.results import Results

    folder = Path(config.runs) / config.run
    run = read_run(folder)
    if run.results is None:
        raise ValueError(f"{folder / 'results.json'} does not exist; {Results.HOW_TO_MAKE}")
    model = chosen_model(run.results, config.model, "model")
    try:
        document = to_nasrec_json(model.architecture, SPACES[run.config["model"]["space"]])
    except ValueError as error:
        raise ValueError(f"{model.title}: {error}") from error
    path = Path(config.file) if config.file else folder / "nasrec.json"
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}; make it first")
    write_json(path, document)
    return path


def main(arguments: list[str] | None = None) -> None:
    """Write what the command line asks for and print its path; a user's mistake ends with one line."""
    config = tyro.cli(NasrecFileConfig, args=sys.argv[1:] if arguments is None else arguments)
    try:
        print(write_nasrec_file(config))
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
