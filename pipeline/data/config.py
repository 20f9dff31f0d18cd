"""The data settings of a run, a frozen dataclass that tyro makes a command line from."""

import dataclasses
from typing import Literal

GENERATED = ("rows", "days", "seed")
"""Settings of generated data alone."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where the click log comes from."""

    path: str = ""
    """A file, folder or glob of click logs: Criteo TSV or CSV (plain, .gz, .zst) or Parquet, raw or prepared; local,
    s3://, gs://, hdfs://, http:// and what fsspec knows. Empty: generated data."""
    schema: str = ""
    """criteo, criteo_terabyte, avazu, avazu_by_time, kdd2012, or a JSON file. Empty: schema.json in the folder, else
    inferred (Parquet with a column `label`)."""
    rows: int = 200_000
    """Rows to generate (80 % train, 10 % valid, 10 % test). Only without --path."""
    days: int = 7
    """Days the generated rows are spread over, evenly; the distributions drift from day to day. Only without --path."""
    seed: int = 0
    """Seed of the generated data (2^63 - 1 at most). Only without --path."""
    max_table_rows: int = 1_000_000
    """No embedding table gets more rows (row 0 = missing included). Larger ones of the schema are hashed into these; a
    vocabulary keeps its most frequent values. A run says which tables it caps. Raise it for data of production size:
    Criteo Terabyte's largest table has 48,937,458 rows."""
    numbering: Literal["auto", "hash", "vocabulary"] = "auto"
    """How values of a raw log become table rows. vocabulary: a row for each value of the training rows, which are
    counted when the run first opens the data. hash: whole numbers by modulo, text by a hash, so that some values share
    a row. auto: vocabulary for text, and for whole numbers of long ranges, in logs of at most 5 million rows; else
    hash. A prepared log is numbered already."""
    min_count: int = 1
    """Values that fewer training rows hold share row 1 of their table with unknown ones. For a vocabulary only."""
    max_bad_rows: int = 0
    """Lines of raw text, in all files and splits together, that may be malformed. 0: the stream ends at the first one.
    Otherwise all lines are parsed once when the files are first opened, before the first batch; up to this many are set
    aside in data/quarantine.jsonl of the run's folder, and one more is an error. Rows are numbered without them, the
    same for every rank, epoch and resumed run. A run that was begun with another number cannot be resumed."""
    split: Literal["auto", "file_names", "random_80_10_10", "in_order", "time", "mlperf_days"] = "auto"
    """mlperf_days: files named day_0, day_1, …; train on all days but the last, validate on the first half of the last
    (Criteo Terabyte: day 23), test on its second half, as MLPerf does. random_80_10_10: by row, hashed, as the
    published splits of Criteo Kaggle and Avazu. time: by the schema's timestamp, the earliest 80 % of the rows train,
    the next 10 % validate, the last 10 % test, cut where the time changes: rows of one time stay together. in_order:
    the same shares in the order of the files and their rows. file_names: files named train, valid and test. auto: by
    file names where they speak of splits, else by time where the schema names a timestamp, else random_80_10_10."""
    read_ahead_mb: int = 96
    """Memory of a process for rows read ahead of training, in MiB: open and coming row groups, finished batches. Half
    of it is the shuffle's window. A batch's own row groups are held even if they take more."""
    read_threads: int = 1
    """Background threads of a process. One reads, decodes and cuts the batches, at the least cost; further ones read
    and decode beside it (for stores that answer slowly, and for GPUs that outrun one core's million rows a second)."""

    def __post_init__(self) -> None:
        """Checks ranges; settings of the generator beside a path would be ignored, so they are refused."""
        for name, low, high in (
            ("rows", 100, 2**40),
            ("days", 1, 10_000),
            ("seed", 0, 2**63 - 1),
            ("max_table_rows", 2, 2**31 - 1),
            ("min_count", 1, 2**62),
            ("max_bad_rows", 0, 2**40),
            ("read_ahead_mb", 1, 2**20),
            ("read_threads", 1, 256),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"data.{name} is {value}; use {low} to {high}")
        if self.numbering == "hash" and self.min_count != 1:
            raise ValueError(
                f"data.min_count is {self.min_count}, which is for a vocabulary, but data.numbering is hash; "
                "leave one of them out"
            )
        if self.max_bad_rows and not self.path:
            raise ValueError(
                f"data.max_bad_rows is {self.max_bad_rows}, but it is for raw text of a data.path, and generated data "
                "have no bad lines; leave it out"
            )
        if self.path:
            for field in dataclasses.fields(self):
                if field.name in GENERATED and getattr(self, field.name) != field.default:
                    raise ValueError(
                        f"data.{field.name} is {getattr(self, field.name)}, but it is for generated data and data.path "
                        f"is {self.path!r}; leave one of them out"
                    )

    def of_a_log(self, path: str) -> "DataConfig":
        """The same settings for a click log, those of generated data as they are by default.

        >>> DataConfig(rows=20_000).of_a_log("mine.csv").rows == DataConfig().rows
        True
        """
        defaults = {field.name: field.default for field in dataclasses.fields(self) if field.name in GENERATED}
        return dataclasses.replace(self, path=path, **defaults)  # type: ignore[arg-type]
