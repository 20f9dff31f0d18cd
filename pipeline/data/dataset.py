"""A click log opened: its schema, its splits and their streams."""

import dataclasses
import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.data.config import DataConfig
from pipeline.data.formats.click_log import Log, Unit
from pipeline.data.formats.features import Columns, Rows, mixed_row_numbers
from pipeline.data.formats.infer import infer_schema
from pipeline.data.formats.parquet import ParquetLog, prepared_schema
from pipeline.data.formats.text_log import TextLog
from pipeline.data.generate.logs import PROBABILITY_COLUMN, GenerateConfig, generate
from pipeline.data.numbering import numbering
from pipeline.data.schema import Schema
from pipeline.data.storage.paths import day_of_name, is_parquet, list_files, path_manager, split_of_name
from pipeline.data.stream.batch_stream import Stream

logger = logging.getLogger(__name__)

SPLITS = ("train", "valid", "test")
_TENTHS = {"train": (0, 8), "valid": (8, 9), "test": (9, 10)}
_CHUNK_ROWS = 1 << 20


@dataclasses.dataclass(frozen=True)
class Split:
    """The rows of one split, unit by unit: those whose number is in a range and, hashed, in some tenths."""

    name: str
    """train, valid or test."""
    log: Log
    """Where the rows lie."""
    tenths: tuple[int, int] = (0, 10)
    """Rows whose number's hash modulo 10 is in [first, last) are of the split."""
    range: tuple[int, int] = (0, 2**63 - 1)
    """Rows numbered first, …, last - 1 of the log."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the categorical columns."""
        return self.log.schema.categories

    @property
    def dense_width(self) -> int:
        """max(I, 1)."""
        return self.log.schema.dense_width

    @property
    def row_bytes(self) -> int:
        """Of a decoded row."""
        return Rows.bytes_per_row(self.log.schema)

    @functools.cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """Rows of the split in each unit."""
        return np.array([self._count(unit) for unit in self.log.units], dtype=np.int64)

    @functools.cached_property
    def runs(self) -> npt.NDArray[np.int64]:
        """The run of each unit."""
        return np.array([unit.run for unit in self.log.units], dtype=np.int64)

    def read(self, unit: int, order: npt.NDArray[np.int64] | None) -> Rows | Columns:
        """The unit's rows of the given numbers, in that order; None: all."""
        return self.log.read(unit, order)

    def select(self, unit: int) -> npt.NDArray[np.int64] | None:
        """Which of the unit's rows are of the split; None: all."""
        low, high = self._overlap(self.log.units[unit])
        first = self.log.units[unit].first_row
        if self.tenths != (0, 10):
            return low - first + np.flatnonzero(self._is_inside(low, high - low))
        return None if high - low == self.log.units[unit].rows else np.arange(low - first, high - first)

    def _count(self, unit: Unit) -> int:
        low, high = self._overlap(unit)
        if self.tenths == (0, 10):
            return high - low
        starts = range(low, high, _CHUNK_ROWS)
        return sum(int(self._is_inside(start, min(_CHUNK_ROWS, high - start)).sum()) for start in starts)

    def _overlap(self, unit: Unit) -> tuple[int, int]:
        """Row numbers of the unit that are in the range."""
        low = max(self.range[0], unit.first_row)
        return low, max(low, min(self.range[1], unit.first_row + unit.rows))

    def _is_inside(self, first_row: int, rows: int) -> npt.NDArray[np.bool_]:
        tenth = mixed_row_numbers(first_row, rows) % np.uint64(10)
        return (tenth >= self.tenths[0]) & (tenth < self.tenths[1])


class Dataset:
    """A click log with its splits. Made by `open_dataset`."""

    def __init__(self, schema: Schema, splits: dict[str, Split], config: DataConfig) -> None:
        self.schema, self._config = schema, config
        self._splits = splits
        for name, split in splits.items():
            if not split.counts.sum():
                raise ValueError(f"split {name!r} has no rows; use more data, or files named train, valid and test")

    def rows(self, split: str) -> int:
        """Rows of a split."""
        return int(self._split(split).counts.sum())

    def stream(
        self,
        split: str,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        shuffle_seed: int | None = None,
        epochs: int = 1,
        drop_last: bool | None = None,
    ) -> Stream:
        """One rank's batches of a split; `batch_size` is the rank's own.

        `drop_last` leaves out the rows of each epoch that do not fill a batch on every rank (rank 0 logs how many);
        unless given, the train split does so and the others deliver every row.
        """
        if drop_last is None:
            drop_last = split == "train"
        return Stream(
            *(self._split(split), batch_size, rank, world_size, shuffle_seed, epochs, drop_last),
            ahead_bytes=self._config.read_ahead_mb * 2**20,
            threads=self._config.read_threads,
        )

    @property
    def numbering(self) -> dict[str, Any]:
        """How raw values became the ids of the streams, for whoever serves the model."""
        log = self._split("train").log
        prepared = log.prepared if isinstance(log, ParquetLog) else None
        return numbering(self.schema, prepared, log.units[0].path.rpartition("/")[0])

    def label_ratio(self, split: str) -> float:
        """Share of clicks."""
        return self._mean(split, [self.schema.label], lambda columns: columns[0])

    def oracle_log_loss(self, split: str) -> float | None:
        """Log loss of the planted probabilities on the split's labels, the best any model can hope for.

        None for data that were not generated.
        """
        if not self._split(split).log.has_column(PROBABILITY_COLUMN):
            return None

        def log_loss(columns: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
            label, probability = columns
            return -np.where(label > 0, np.log(probability), np.log1p(-probability))

        return self._mean(split, [self.schema.label, PROBABILITY_COLUMN], log_loss)

    def _mean(
        self, split: str, names: list[str], of: Callable[[list[npt.NDArray[np.float64]]], npt.NDArray[np.float64]]
    ) -> float:
        """Mean over the split's rows of a function of raw columns, one row group in memory; label counts as 0 or 1."""
        chosen = self._split(split)
        total = 0.0
        for unit in np.flatnonzero(chosen.counts):
            table, picked = chosen.log.columns(int(unit), names), chosen.select(int(unit))
            columns = [table[name].to_numpy().astype(np.float64) for name in names]
            columns = columns if picked is None else [column[picked] for column in columns]
            columns[0] = np.minimum(columns[0], 1.0)
            total += float(of(columns).sum())
        return total / self.rows(split)

    def _split(self, split: str) -> Split:
        if split not in self._splits:
            raise ValueError(f"split {split!r} is unknown; use one of {SPLITS}")
        return self._splits[split]


def open_dataset(config: DataConfig, folder: str) -> Dataset:
    """Opens the log that the settings name; `folder` keeps what is made on the way (generated data, counts of lines).

    Every rank may call it: one at a time makes the files, the others find them. Bad input is a ValueError that names
    file, line or field, what was found and what to do.
    """
    home = Path(folder)
    if not config.path:
        schema = Schema.load(config.schema or "criteo")
        if schema.name != "criteo":
            raise ValueError(f"data.schema is {config.schema!r}, but generated data are criteo's; give data.path too")
        generated = GenerateConfig(str(home / "generated"), config.rows, config.days, config.seed)
        return Dataset(_cap(schema, config), _splits(config, _cap(schema, config), generate(generated), home), config)
    files = list_files(config.path)
    if len({is_parquet(file) for file in files}) > 1:
        raise ValueError(f"data.path {config.path!r} holds both Parquet and text files; keep one kind")
    schema = _cap(_schema_for(config, files), config)
    return Dataset(schema, _splits(config, schema, files, home), config)


def _open_log(files: list[str], schema: Schema, home: Path) -> Log:
    return ParquetLog(files, schema) if is_parquet(files[0]) else TextLog(files, schema, home / "lines")


def _cap(schema: Schema, config: DataConfig) -> Schema:
    capped = schema.with_max_rows(config.max_table_rows)
    smaller = sum(after < before for after, before in zip(capped.table_sizes, schema.table_sizes, strict=True))
    if smaller:
        tables = len(schema.table_sizes)
        logger.info("%d of %d tables are capped at %d rows (max_table_rows)", smaller, tables, config.max_table_rows)
    return capped


def _splits(config: DataConfig, schema: Schema, files: list[str], home: Path) -> dict[str, Split]:
    """train, valid and test as `config.split` says."""
    if config.split == "mlperf_days":
        return _split_by_day(schema, files, home)
    by_name: dict[str | None, list[str]] = {}
    for file in files if config.split != "random_80_10_10" else ():
        by_name.setdefault(split_of_name(file), []).append(file)
    if set(by_name) == set(SPLITS):
        logs = {name: _open_log(by_name[name], schema, home) for name in SPLITS}
        _open_log([by_name[name][0] for name in SPLITS], schema, home)  # the three must have the same columns
        return {name: Split(name, log) for name, log in logs.items()}
    if len(by_name) > 1 or config.split == "file_names":
        found = {name or "no split": [Path(file).name for file in some][:3] for name, some in by_name.items()}
        raise ValueError(
            f"file names speak of some splits only: {found}; name files of all of train, valid and test, or of none, "
            "or choose another data.split"
        )
    log = _open_log(files, schema, home)
    return {name: Split(name, log, tenths) for name, tenths in _TENTHS.items()}


def _split_by_day(schema: Schema, files: list[str], home: Path) -> dict[str, Split]:
    """All days but the last; the first half of the last (the larger one, as in MLPerf); its second half."""
    by_day: dict[int, list[str]] = {}
    for file in files:
        day = day_of_name(file)
        if day is None:
            raise ValueError(f"{file}: its name says no day; data.split mlperf_days is for files named day_0, day_1, …")
        by_day.setdefault(day, []).append(file)
    last = max(by_day)
    if missing := sorted(set(range(min(by_day), last)) - set(by_day)):
        raise ValueError(
            f"data.split is mlperf_days, but the days {missing} between the first and the last are missing"
        )
    if len(by_day) < 2:
        raise ValueError(f"data.split is mlperf_days, but there is only day {last}; give two days or more")
    log = _open_log([file for day in sorted(by_day) for file in by_day[day]], schema, home)
    start = next(unit.first_row for unit in log.units if day_of_name(unit.path) == last)
    end = log.units[-1].first_row + log.units[-1].rows
    middle = start + (end - start + 1) // 2
    ranges = {"train": (0, start), "valid": (start, middle), "test": (middle, end)}
    return {name: Split(name, log, range=rows) for name, rows in ranges.items()}


def _schema_for(config: DataConfig, files: list[str]) -> Schema:
    """What prepared files bring along, else the schema asked for, else schema.json beside, else what Parquet says."""
    prepared = prepared_schema(files[0]) if is_parquet(files[0]) else None
    if prepared is not None:
        if config.schema and Schema.load(config.schema).inputs != prepared.inputs:
            raise ValueError(
                f"data.schema is {config.schema!r}, but {files[0]} was prepared as {prepared.name!r}, with other "
                "columns; leave data.schema out"
            )
        return prepared
    if config.schema:
        return Schema.load(config.schema)
    beside = f"{config.path.rstrip('/')}/schema.json"
    if path_manager().isfile(beside):
        return Schema.load(beside)
    if not is_parquet(files[0]):
        raise ValueError(
            f"data.schema is empty and {config.path!r} holds text, which does not say what its columns mean; give "
            "data.schema (criteo, avazu, kdd2012 or a JSON file) or put schema.json into the folder"
        )
    return infer_schema(files, Path(config.path).stem, config.max_table_rows)
