"""Criteo-shaped click logs written from the planted model, one file per day, as Parquet or Criteo TSV.

The same settings give the same bytes. A day's file depends only on the seed, its number and the rows per day; a stopped
run resumes at the first missing file.
"""

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.data.config import DataConfig
from pipeline.data.generate.planted import CARDINALITIES, PlantedModel, RawRows
from pipeline.data.schema import BUILT_IN, Schema
from pipeline.data.storage.paths import COMPRESSIONS, locked
from pipeline.run.files import atomic_write, read_json, write_json

logger = logging.getLogger(__name__)

BLOCK_ROWS = 32_768
"""Rows drawn at once, and rows of a Parquet row group."""
PROBABILITY_COLUMN = "planted_probability"
"""Extra Parquet column: the exact click probability of the row. Not a feature."""
MANIFEST = "manifest.json"
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class GenerateConfig:
    """Settings of a generated click log."""

    folder: str
    """Where the files go: a new or empty folder, or one made by this program."""
    rows: int = 1_000_000
    """Rows in all."""
    days: int = 7
    """Days, one file each, with equally many rows (the last may have fewer)."""
    seed: int = 0
    """Of the planted model and every draw."""
    format: Literal["parquet", "tsv"] = "parquet"
    """parquet holds the planted probability beside the columns; tsv is Criteo's own format, without header."""
    compression: Literal["none", "gz", "zst"] = "none"
    """Of tsv files; Parquet is compressed inside (snappy)."""

    def __post_init__(self) -> None:
        """Ranges are DataConfig's."""
        DataConfig(rows=self.rows, days=self.days, seed=self.seed)
        if self.format == "parquet" and self.compression != "none":
            raise ValueError(f"compression is {self.compression!r}, which is for tsv; Parquet is compressed inside")

    @property
    def rows_per_day(self) -> int:
        """Rows of every day but the last."""
        return -(-self.rows // self.days)

    @property
    def day_rows(self) -> list[int]:
        """Rows of each day; trailing days without a row are left out."""
        starts = range(0, self.rows, self.rows_per_day)
        return [min(self.rows_per_day, self.rows - start) for start in starts]


def generate(config: GenerateConfig) -> list[str]:
    """Makes what is missing of the click log and returns its files, in the order of the days.

    A folder of other settings is made anew; one that holds somebody else's files is a ValueError.
    """
    folder = Path(config.folder)
    with locked(folder):
        settings: dict[str, Any] = {"generator_version": _VERSION, **dataclasses.asdict(config)}
        del settings["folder"]
        suffix = config.format + ("" if config.compression == "none" else f".{config.compression}")
        names = [f"day_{day}.{suffix}" for day in range(len(config.day_rows))]
        if not _ours(folder, settings):
            write_json(folder / MANIFEST, {"settings": settings, "complete": False})
        files = [str(folder / name) for name in names]
        if not all(Path(file).exists() for file in files):
            model = PlantedModel(config.seed)
            vocabularies = [_vocabulary(column) for column in range(len(CARDINALITIES))]
            for day, (file, rows) in enumerate(zip(files, config.day_rows, strict=True)):
                if not Path(file).exists():
                    _write(file, config, _day(model, vocabularies, day, rows, config.rows_per_day))
            logger.info("generated %d rows over %d days in %s", config.rows, len(files), folder)
        write_json(folder / MANIFEST, {"settings": settings, "complete": True, "files": names})
        return files


def generated_schema() -> Schema:
    """Criteo's, with tables no larger than the values that are drawn."""
    return BUILT_IN["criteo"].with_max_rows(max(CARDINALITIES))


def _ours(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether the folder was begun with these settings; files of other settings are removed."""
    if not (folder / MANIFEST).exists():
        others = sorted(file.name for file in folder.iterdir() if file.name != ".lock" and ".tmp-" not in file.name)
        if others:
            raise ValueError(f"{folder}: holds {others[:3]} and no {MANIFEST}; give a new folder for generated data")
        return False
    found = read_json(folder / MANIFEST)
    if isinstance(found, dict) and found.get("settings") == settings:
        return True
    logger.info("%s was generated with other settings: making it anew", folder)
    for file in folder.glob("day_*"):
        file.unlink()
    return False


def _day(
    model: PlantedModel, vocabularies: list[pa.Array], day: int, rows: int, rows_per_day: int
) -> Iterator[pa.RecordBatch]:
    """The day's blocks as raw columns."""
    blocks_per_day = -(-rows_per_day // BLOCK_ROWS)
    for index, start in enumerate(range(0, rows, BLOCK_ROWS)):
        number = day * blocks_per_day + index
        block_rows = min(BLOCK_ROWS, rows - start)
        yield raw_columns(model.block(number, day * rows_per_day + start, block_rows, rows_per_day), vocabularies)


def raw_columns(rows: RawRows, vocabularies: list[pa.Array]) -> pa.RecordBatch:
    """Criteo's 40 columns and the planted probability."""
    schema = BUILT_IN["criteo"]
    columns: dict[str, pa.Array] = {schema.label: pa.array(rows.label)}
    for name, values, missing in zip(schema.integers, rows.integers, rows.integer_missing, strict=True):
        columns[name] = pa.array(values, mask=missing)
    for name, values, vocabulary in zip(schema.categories, rows.categories, vocabularies, strict=True):
        used = np.zeros(len(vocabulary) + 1, dtype=np.bool_)
        used[values] = True
        used[0] = False
        position = np.cumsum(used, dtype=np.int32) - 1  # of each used value in the block's own dictionary
        indices = pa.array(position[values], mask=values == 0)
        dictionary = vocabulary.take(pa.array(np.flatnonzero(used) - 1))
        columns[name] = pa.DictionaryArray.from_arrays(indices, dictionary)
    columns[PROBABILITY_COLUMN] = pa.array(rows.probability)
    return pa.RecordBatch.from_pydict(columns)


def _vocabulary(column: int) -> pa.Array:
    """The column's values as 8 hexadecimal digits each: a bijection of 32 bits, so no two are equal."""
    x = np.arange(1, CARDINALITIES[column] + 1, dtype=np.uint32) * np.uint32(0x9E3779B1)
    x += np.uint32(column * 0x85EBCA6B & 0xFFFFFFFF)
    x = (x ^ x >> np.uint32(15)) * np.uint32(0x85EBCA77)
    x = (x ^ x >> np.uint32(13)) * np.uint32(0xC2B2AE3D)
    digits = (x ^ x >> np.uint32(16)).astype(">u4").tobytes().hex().encode()
    offsets = np.arange(0, len(digits) + 1, 8, dtype=np.int32)
    return pa.StringArray.from_buffers(len(x), pa.py_buffer(offsets), pa.py_buffer(digits))


def _write(path: str, config: GenerateConfig, blocks: Iterator[pa.RecordBatch]) -> None:
    with atomic_write(path) as handle:
        if config.format == "parquet":
            first = next(blocks)
            with pq.ParquetWriter(handle, first.schema, compression="snappy") as writer:
                writer.write_batch(first)
                for block in blocks:
                    writer.write_batch(block)
            return
        options = pa.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
        for block in blocks:
            text = pa.BufferOutputStream()
            pa.csv.write_csv(_plain(block.drop_columns([PROBABILITY_COLUMN])), text, options)
            contents = text.getvalue()
            if config.compression != "none":  # one gzip member or zstd frame per block: one behind the other is valid
                contents = pa.Codec(COMPRESSIONS[f".{config.compression}"], compression_level=4).compress(contents)
            handle.write(contents)


def _plain(columns: pa.RecordBatch) -> pa.RecordBatch:
    """Dictionaries as the texts they stand for."""
    arrays = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in columns.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=columns.schema.names)
