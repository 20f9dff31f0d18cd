"""Raw text logs → Parquet of the same raw columns, once: rows are checked and counted, and epochs need no parsing.

Needs about half the space of the text. Table sizes may change later, as nothing is hashed here.
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.schema import Schema
from pipeline.data.storage import check_same_columns, file_size, locked
from pipeline.data.text import read_header, read_text
from pipeline.files import atomic_write, read_json, write_json

logger = logging.getLogger(__name__)

ROW_GROUP_ROWS = 32_768
"""Rows of a row group: small enough that several are open at once, large enough for Parquet."""
_VERSION = 1


def convert(files: list[str], schema: Schema, folder: Path) -> list[str]:
    """Parquet copies of text files under `folder`, in the same order; what was converted before is used again.

    A copy belongs to the path, size and columns of its source. A stopped conversion goes on at the first missing file.
    """
    first_header = read_header(files[0], schema)
    for path in files:
        check_same_columns(path, read_header(path, schema), files[0], first_header)
    return [_convert_file(path, schema, folder) for path in files]


def _convert_file(path: str, schema: Schema, folder: Path) -> str:
    source = _source(path, schema)
    key = hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()[:16]
    target, manifest = folder / f"{key}.parquet", folder / f"{key}.json"
    with locked(folder):
        if target.exists() and manifest.exists() and read_json(manifest)["source"] == source:
            return str(target)
        logger.info("converting %s to Parquet", path)
        rows = 0
        with atomic_write(target) as handle:
            writer: pq.ParquetWriter | None = None
            waiting: list[pa.RecordBatch] = []
            for columns in read_text(path, schema):
                writer = writer or pq.ParquetWriter(handle, columns.schema, compression="snappy")
                waiting.append(columns)
                rows += columns.num_rows
                waiting = _write_full_groups(writer, waiting)
            assert writer is not None  # read_text refuses a file without rows
            writer.write_table(pa.Table.from_batches(waiting, writer.schema), row_group_size=ROW_GROUP_ROWS)
            writer.close()
        write_json(manifest, {"source": source, "rows": rows})
    return str(target)


def _write_full_groups(writer: pq.ParquetWriter, waiting: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """Writes whole row groups and returns the rows left over, so that group sizes do not depend on the blocks read."""
    table = pa.Table.from_batches(waiting)
    whole = table.num_rows // ROW_GROUP_ROWS * ROW_GROUP_ROWS
    if whole:
        writer.write_table(table.slice(0, whole), row_group_size=ROW_GROUP_ROWS)
    return table.slice(whole).to_batches()


def _source(path: str, schema: Schema) -> dict[str, Any]:
    """What the copy depends on: the file as it is now, and how its columns are read."""
    local = Path(path)
    document = schema.to_json()
    for key in ("name", "table_sizes"):
        del document[key]
    return {
        "version": _VERSION,
        "path": str(local.absolute()) if local.exists() else path,
        "bytes": file_size(path),
        "modified_ns": local.stat().st_mtime_ns if local.exists() else None,
        "columns": document,
    }
