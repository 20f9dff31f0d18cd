"""A click log opened: its schema, its splits and their streams."""

import dataclasses
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.data.config import DataConfig
from pipeline.data.extended_vocabularies import extended_vocabularies
from pipeline.data.formats.all_formats import find_files
from pipeline.data.formats.reader import Format, Reader, check_bad_lines, write_quarantine
from pipeline.data.generate.logs import PROBABILITY_COLUMN, GenerateConfig, generate, generated_schema
from pipeline.data.numbered_as import NumberedAs, check_tables, read_numbered_as, schema_as
from pipeline.data.numbering import numbering, vocabulary_numbering
from pipeline.data.schema import Schema
from pipeline.data.splits import SPLITS, Split, make_splits, split_rule
from pipeline.data.storage.paths import locked, path_manager
from pipeline.data.time_split import split_by_time
from pipeline.data.vocabularies import open_vocabularies, vocabulary_columns

if TYPE_CHECKING:
    from pipeline.data.stream.batch_stream import Stream

logger = logging.getLogger(__name__)

QUARANTINE = "quarantine.jsonl"
"""In a run's data folder: the lines that were set aside, one JSON object per line, as `prepare` writes them."""


class Dataset:
    """A click log with its splits. Made by `open_dataset`."""

    def __init__(
        self,
        schema: Schema,
        splits: dict[str, Split],
        config: DataConfig,
        full_schema: Schema,
        numbering: dict[str, Any],
        split_in_words: str,
    ) -> None:
        """`full_schema` has the tables as large as the log wants them, `schema` as data.max_table_rows lets them be."""
        self.schema, self._full_schema, self._config = schema, full_schema, config
        self.numbering = numbering
        """How raw values became the ids of the streams, for whoever serves the model."""
        self.split_in_words = split_in_words
        """Where a split by time was cut, for the terminal; empty for other splits."""
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
    ) -> "Stream":
        """One rank's batches of a split; `batch_size` is the rank's own.

        `drop_last` leaves out the rows of each epoch that do not fill a batch on every rank (rank 0 logs how many);
        unless given, the train split does so and the others deliver every row.
        """
        from pipeline.data.stream.batch_stream import Stream  # not above: a log is opened and described without torch

        if drop_last is None:
            drop_last = split == "train"
        return Stream(
            *(self._split(split), batch_size, rank, world_size, shuffle_seed, epochs, drop_last),
            ahead_bytes=self._config.read_ahead_mb * 2**20,
            threads=self._config.read_threads,
        )

    @property
    def capped_tables(self) -> dict[str, tuple[int, int]]:
        """The tables that data.max_table_rows makes smaller: (rows wanted, rows given) by name."""
        sizes = zip(self.schema.table_names, self._full_schema.table_sizes, self.schema.table_sizes, strict=True)
        return {name: (wanted, given) for name, wanted, given in sizes if given < wanted}

    def label_ratio(self, split: str) -> float:
        """Share of clicks, rows counting by their weights."""
        return self._mean(split, [self.schema.label], lambda columns: columns[0])

    def raw_rows(self, split: str, count: int) -> list[dict[str, Any]]:
        """The first rows of a split as the log has them, by column: numbers, text, None where missing (or NaN).

        None of a prepared log, whose columns are model inputs already.
        """
        chosen, names = self._split(split), [*self.schema.numbers, *self.schema.categories]
        found: list[dict[str, Any]] = []
        for unit in np.flatnonzero(chosen.counts) if chosen.reader.prepared is None else ():
            table, picked = chosen.reader.columns(int(unit), names), chosen.select(int(unit))
            part = table.slice(0, count) if picked is None else table.take(pa.array(picked[:count]))
            found += part.slice(0, count - len(found)).to_pylist()
            if len(found) == count:
                break
        return [{name: None if value != value else value for name, value in row.items()} for row in found]

    def check_labels(self) -> None:
        """Raises ValueError unless the train and the valid split have both labels each: nothing is learned from one.

        It reads labels unit by unit until it has seen both, as a rule in the first one.
        """
        for split in ("train", "valid"):
            seen: set[bool] = set()
            for (label,) in self._columns(split, [self.schema.label]):
                seen |= set(np.unique(label > 0).tolist())
                if len(seen) == 2:
                    break
            else:
                (found,) = seen
                raise ValueError(
                    f"split {split!r}: the label, column {self.schema.label!r}, is {int(found)} in each of its "
                    f"{self.rows(split)} rows, from which no model can learn; give rows of both labels, another "
                    "data.split, or a data.schema with another label"
                )

    def oracle_log_loss(self, split: str) -> float | None:
        """Log loss of the planted probabilities on the split's labels, the best any model can hope for.

        None for data that were not generated.
        """
        if not self._split(split).reader.has_column(PROBABILITY_COLUMN):
            return None

        def log_loss(columns: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
            label, probability = columns
            return -np.where(label > 0, np.log(probability), np.log1p(-probability))

        return self._mean(split, [self.schema.label, PROBABILITY_COLUMN], log_loss)

    def _mean(
        self, split: str, names: list[str], of: Callable[[list[npt.NDArray[np.float64]]], npt.NDArray[np.float64]]
    ) -> float:
        """Mean over the split's rows, by weight, of a function of raw columns, of which the first is the label."""
        if not self.schema.weight:
            return sum(float(of(columns).sum()) for columns in self._columns(split, names)) / self.rows(split)
        total, weights = 0.0, 0.0
        for *columns, weight in self._columns(split, [*names, self.schema.weight]):
            total += float((weight * of(columns)).sum())
            weights += float(weight.sum())
        return total / weights

    def _columns(self, split: str, names: list[str]) -> Iterator[list[npt.NDArray[np.float64]]]:
        """Raw columns of the split's rows, one unit after the other; the first is the label, which counts as 0 or 1."""
        chosen = self._split(split)
        for unit in np.flatnonzero(chosen.counts):
            table, picked = chosen.reader.columns(int(unit), names), chosen.select(int(unit))
            columns = [table[name].to_numpy().astype(np.float64) for name in names]
            columns = columns if picked is None else [column[picked] for column in columns]
            columns[0] = np.minimum(columns[0], 1.0)
            yield columns

    def _split(self, split: str) -> Split:
        if split not in self._splits:
            raise ValueError(f"split {split!r} is unknown; use one of {SPLITS}")
        return self._splits[split]


def open_dataset(config: DataConfig, folder: str) -> Dataset:
    """Opens the click log that the settings name.

    `folder` keeps what is made on the way: generated data, line counts, vocabularies, and quarantine.jsonl with the
    lines that were set aside. Every rank may call it: one at a time makes the files, the others find them. Bad input
    is a ValueError that names file, line or field, what was found and what to do.
    """
    home = Path(folder)
    files, kind = find_files(config.path or _generate(config, home))
    earlier = read_numbered_as(home)
    full_schema = _schema_for(config, files, kind, earlier)
    schema = full_schema.with_max_rows(config.max_table_rows)
    rule = split_rule(config.split, files, full_schema)
    # Rows without a time are as good as others where no split needs it.
    read_schema = schema if rule == "time" else dataclasses.replace(schema, timestamp="")

    def open_files(some: list[str]) -> Reader:
        return kind.open(some, read_schema, home / "lines", config.max_bad_rows)

    if rule == "time":
        splits, split_in_words = split_by_time(open_files(files), config, home)
    else:
        splits, split_in_words = make_splits(rule, files, open_files), ""
    _set_aside(config, splits, home)
    reader = splits["train"].reader
    if earlier is None:
        columns = vocabulary_columns(config, full_schema, splits)
    else:
        columns = earlier.vocabulary_columns if reader.prepared is None else ()
    if not columns:
        rules = numbering(schema, reader.prepared, reader.units[0].path.rpartition("/")[0])
        if earlier is not None:
            check_tables(earlier, schema, rules)
        return Dataset(schema, splits, config, full_schema, rules, split_in_words)
    if earlier is None:
        vocabularies = open_vocabularies(splits["train"], full_schema, columns, config, home)
    else:
        vocabularies = extended_vocabularies(splits["train"], full_schema, columns, config, home)
    numbered_schema = dataclasses.replace(vocabularies.schema, timestamp=read_schema.timestamp)
    for split in splits.values():
        split.reader.number(numbered_schema, vocabularies.lookups)
    rules = vocabulary_numbering(vocabularies.schema, home.name, columns)
    return Dataset(vocabularies.schema, splits, config, vocabularies.full_schema, rules, split_in_words)


def _generate(config: DataConfig, home: Path) -> str:
    """Generates the click log that is used without a path; returns its folder."""
    name = Schema.load(config.schema or "criteo").name
    if name != "criteo":
        raise ValueError(f"data.schema is {config.schema!r}, but generated data are criteo's; give data.path too")
    generate(GenerateConfig(str(home / "generated"), config.rows, config.days, config.seed))
    return str(home / "generated")


def _set_aside(config: DataConfig, splits: dict[str, Split], home: Path) -> None:
    """Writes the bad lines of all splits together, or refuses them if they are too many."""
    if not config.max_bad_rows:
        return
    readers = {id(split.reader): split.reader for split in splits.values()}.values()
    bad_lines = [bad_line for reader in readers for bad_line in reader.bad_lines]
    check_bad_lines(bad_lines, config.max_bad_rows)
    with locked(home):
        write_quarantine(home / QUARANTINE, bad_lines)
    logger.info("%d lines are set aside in %s", len(bad_lines), home / QUARANTINE)


def _schema_for(config: DataConfig, files: list[str], kind: Format, earlier: NumberedAs | None) -> Schema:
    """What the files carry, else the earlier log's, else the schema asked for, else schema.json beside the files, else
    what columns say."""
    own = kind.own_schema(files[0])
    if own is not None:
        asked = Schema.load(config.schema) if config.schema else own
        is_like = (asked.inputs, asked.lists, asked.id_places) == (own.inputs, own.lists, own.id_places)
        if not is_like or asked.timestamp not in ("", own.timestamp):
            raise ValueError(
                f"data.schema is {config.schema!r}, but {files[0]} was prepared as {own.name!r}, with other "
                "columns; leave data.schema out, or prepare the raw log again with it"
            )
        return own
    if earlier is not None:
        return schema_as(earlier, config)
    if not config.path:
        return generated_schema()
    if config.schema:
        return Schema.load(config.schema)
    beside = f"{config.path.rstrip('/')}/schema.json"
    if path_manager().isfile(beside):
        return Schema.load(beside)
    return kind.infer_schema(files, config.path, config.max_table_rows)
