"""Prepared Parquet: columns that are model inputs already, so that reading is all there is to do.

The columns, in this order and without nulls: the label as int8, 0 or 1; the numbers as float32 by the rules of
`features.py`, missing -1.0; the categories as int32 rows of their tables, 0 = missing; lists as lists of such rows,
one or more; where the schema names a weight, that as float32; where it names a timestamp, the rows' times in one of the
types of `times.py`. Each file says so in its key-value metadata, where the schema (with the tables' true sizes) stands
as JSON. Written by `python -m pipeline.data.prepare`, read by `parquet.py`.
"""

import dataclasses
import functools
import json
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.schema import Schema

METADATA_KEY = b"pipeline.prepared"
"""Its value is a JSON object: version, schema, and how the categories were numbered."""
ROW_GROUP_ROWS = 2**17
"""Rows of a row group: 21 MB decoded for Criteo, so that two may be open at once in half of a stream's 96 MB."""
FILE_ROWS = 2**21
"""Rows of a file at most. A reader needs all of a file's footer for any row group: half a megabyte here, and some
hundredths of the time of decoding one. A day of Criteo Terabyte in one file: 40 MB, and as long as decoding itself."""
WRITER_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": True,
    "write_page_checksum": True,
    "max_rows_per_page": ROW_GROUP_ROWS,
}
"""For pq.ParquetWriter. On generated Criteo rows zstd takes 35 bytes per row where snappy takes 45, and 40 ns more per
row to read; without dictionaries both double. Pages carry checksums, so that a flipped bit is an error and never an id.
One page per column, where the default is 20,000 rows: zstd asks for the processor's kind at every page, which traps
on a virtual machine, and four pages cost a fifth more to read."""
TIME_COLUMN = "pipeline_time"
"""The rows' times: the timestamp's own name may be that of an input, too."""
OUT_OF_VOCABULARY_ROW = 1
"""In a click log numbered by a vocabulary: row of the values that were seen too seldom, or never."""
_VERSION = 1
_LIST = pa.list_(pa.field("element", pa.int32(), nullable=False))


@dataclasses.dataclass(frozen=True)
class Prepared:
    """What a prepared file says of itself."""

    schema: Schema
    """Its columns and the tables' true sizes."""
    details: dict[str, Any]
    """Whatever else the writer noted."""


def arrow_schema(schema: Schema, times: pa.DataType | None = None, **details: Any) -> pa.Schema:
    """The columns of a prepared file with its metadata; `times` is the type of its times, if it has any, and `details`
    are JSON values on how it was made.

    >>> arrow_schema(Schema("shop", "bought", ("price",), ("user",), (50,))).types
    [DataType(int8), DataType(float), DataType(int32)]
    """
    fields = [
        pa.field(schema.label, pa.int8(), nullable=False),
        *(pa.field(name, pa.float32(), nullable=False) for name in schema.numbers),
        *(pa.field(name, _LIST if name in schema.lists else pa.int32(), nullable=False) for name in schema.categories),
    ]
    if schema.weight:
        fields.append(pa.field(schema.weight, pa.float32(), nullable=False))
    if times is not None:
        if TIME_COLUMN in schema.used:
            raise ValueError(f"column {TIME_COLUMN!r} has the name of a prepared file's times; give it another")
        fields.append(pa.field(TIME_COLUMN, times, nullable=False))
    document = {"version": _VERSION, "schema": schema.to_json(), **details}
    return pa.schema(fields, {METADATA_KEY: json.dumps(document, sort_keys=True).encode()})


def read_prepared(metadata: pq.FileMetaData, path: str) -> Prepared | None:
    """What the file says of its preparation; None for a raw file. A ValueError names a file of another version."""
    contents = (metadata.metadata or {}).get(METADATA_KEY)
    try:
        return None if contents is None else _parse(contents)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


@functools.lru_cache(maxsize=8)
def _parse(contents: bytes) -> Prepared:
    """The files of a click log say the same; parsing it for each would take as long as all the rest of opening."""
    document = json.loads(contents)
    if document.pop("version", None) != _VERSION:
        raise ValueError("was prepared by another version of this program; prepare it again")
    return Prepared(Schema.from_json(document.pop("schema"), where="its metadata"), document)


def file_name(column: str) -> str:
    """A column's name as that of a file.

    >>> file_name("cat_0"), file_name("a/b.c")
    ('cat_0', 'a%2Fb%2Ec')
    """
    return quote(column, safe="").replace(".", "%2E")
