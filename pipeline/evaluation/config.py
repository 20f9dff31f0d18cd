"""The settings of `python -m pipeline.evaluate_model`."""

from dataclasses import dataclass, field

import tyro


@dataclass(frozen=True)
class LogConfig:
    """The newer click log. All of its rows are scored, whatever its files are called."""

    path: str = ""
    """A file, folder or glob of click logs: TSV or CSV (plain, .gz, .zst) or Parquet; local, s3://, gs://, hdfs://,
    http:// and what fsspec knows. A prepared log is one that was numbered as the model's was."""
    schema: str = ""
    """How its columns are laid out, where that is not as in the model's log: criteo, criteo_terabyte, avazu, kdd2012,
    or a JSON file. Empty: schema.json in the folder, else the model's."""
    max_bad_rows: int = 0
    """Lines of raw text, in all files together, that may be malformed: they are set aside in quarantine.jsonl beside
    the evaluation. 0: the first one is an error."""

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("data.path is empty; give the newer log on which the model is evaluated")
        if not 0 <= self.max_bad_rows <= 2**40:
            raise ValueError(f"data.max_bad_rows is {self.max_bad_rows}; use 0 to {2**40}")


@dataclass(frozen=True)
class GroupConfig:
    """How finely rows are grouped by field."""

    values: int = 20
    """Values of each category that are shown, the most frequent ones, 1 to 1,000."""
    bins: int = 10
    """Ranges of each number, 1 to 100."""
    batch_size: int = 8_192
    """Rows scored at once, at least 1."""

    def __post_init__(self) -> None:
        for name, high in (("values", 1_000), ("bins", 100), ("batch_size", 2**24)):
            if not 1 <= getattr(self, name) <= high:
                raise ValueError(f"groups.{name} is {getattr(self, name)}; use 1 to {high:,}")


@dataclass(frozen=True)
class EvaluateConfig:
    """Judge an exported model on a newer log."""

    model: tyro.conf.Positional[str]
    """model.pt of an export, or the folder that holds it; also --model. It is run: give one that you trust."""
    data: LogConfig
    """The newer log."""
    groups: GroupConfig = field(default_factory=GroupConfig)
    """How finely rows are grouped by field."""
    output: str = ""
    """Folder for evaluation.json and evaluation.html, made if absent. Empty: evaluations/<the log's name> beside the
    model."""
    overwrite: bool = False
    """Replace an evaluation that is in the folder already."""
