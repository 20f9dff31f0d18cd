"""How a Parquet file is opened: whole, with the schema's columns, each of the type that its role asks for."""

import functools

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from pipeline.data.formats.lists import is_list
from pipeline.data.formats.prepared import TIME_COLUMN, arrow_schema, read_prepared
from pipeline.data.formats.times import is_text, measure_of_type
from pipeline.data.schema import Schema
from pipeline.data.storage.paths import open_arrow
from pipeline.data.storage.retry import StorageError


def open_parquet(path: str) -> pq.ParquetFile:
    """Opens a file, raw or prepared; one that is not whole is a ValueError."""
    try:
        return pq.ParquetFile(open_arrow(path), page_checksum_verification=True)
    except StorageError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a whole Parquet file: {error}; write or copy it again") from error


def open_checked(schema: Schema, path: str) -> pq.ParquetFile:
    """Opens and checks a file; text columns come as dictionaries, so that each distinct text is hashed once."""
    file = open_parquet(path)
    arrow = file.schema_arrow
    prepared = _prepared_columns(schema) if read_prepared(file.metadata, path) else None
    for column in _columns_needed(schema, prepared):
        found = arrow.get_all_field_indices(column)
        if len(found) != 1:
            raise ValueError(
                f"{path}: holds column {column!r} {len(found)} times, the schema {schema.name!r} needs it once; "
                f"its columns are {arrow.names}"
            )
        if prepared is None:
            _check_type(path, column, arrow.field(column).type, schema)
        elif column != TIME_COLUMN and not arrow.field(column).equals(prepared.field(column)):
            raise ValueError(
                f"{path}: is prepared, but its column {arrow.field(column)} is not {prepared.field(column)}; "
                "prepare it again"
            )
    if prepared is not None:
        return file
    text = [name for name in schema.categories if name not in (*schema.integer_ids, *schema.hours, *schema.lists)]
    return pq.ParquetFile(
        open_arrow(path), metadata=file.metadata, read_dictionary=text, page_checksum_verification=True
    )


def _columns_needed(schema: Schema, prepared: pa.Schema | None) -> tuple[str, ...]:
    if prepared is None:
        return schema.used
    return (*schema.inputs, TIME_COLUMN) if schema.timestamp else schema.inputs


@functools.lru_cache(maxsize=8)
def _prepared_columns(schema: Schema) -> pa.Schema:
    return arrow_schema(schema)


def _check_type(path: str, column: str, found: pa.DataType, schema: Schema) -> None:
    """Whole numbers, numbers or text, as the column's role asks for."""
    value_type = found.value_type if pt.is_dictionary(found) else found
    whole_number = pt.is_integer(found) or pt.is_boolean(found)
    hint = "write it with that type, or change the schema"
    if column == schema.timestamp and not is_text(found) and measure_of_type(found) is None:
        good, expected = False, "numbers, timestamps, dates or ISO-8601 text"
    elif column not in schema.inputs:
        good, expected = True, "times"
    elif column in (schema.label, schema.weight, *schema.numbers):
        good, expected = whole_number or pt.is_floating(found), "a number"
    elif column in schema.lists:
        good, expected, hint = _list_type(found, column in schema.integer_ids)
    elif column in (*schema.integer_ids, *schema.hours):
        good, expected = pt.is_integer(value_type), "a whole number"
        hint = "write it with that type, or leave it out of the schema's integer_ids or hours if it is text"
    else:
        good, expected = pt.is_string(value_type) or pt.is_large_string(value_type), "text"
        hint = "write it with that type, or name it in the schema's integer_ids if it holds whole numbers"
        hint = "name it in the schema's lists" if is_list(found) else hint
    if not good:
        raise ValueError(f"{path}: column {column!r} is of type {found}, expected {expected}; {hint}")


def _list_type(found: pa.DataType, is_whole: bool) -> tuple[bool, str, str]:
    """Whether a column is one of lists, or text that can hold them, what was expected, and what to do."""
    if is_list(found):
        value = found.value_type.value_type if pt.is_dictionary(found.value_type) else found.value_type
        good = pt.is_integer(value) if is_whole else pt.is_string(value) or pt.is_large_string(value)
    else:
        good = is_text(found) and not pt.is_fixed_size_binary(found)
    if is_whole:
        return good, "lists of whole numbers, or text", "leave it out of the schema's integer_ids if it holds text"
    return good, "lists of text, or text", "name it in the schema's integer_ids if it holds whole numbers"
