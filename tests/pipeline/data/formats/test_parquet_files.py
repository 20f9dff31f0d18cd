"""pipeline/data/formats/parquet_files.py: which types a column of lists may have, and what is said of others."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.data.formats.parquet import ParquetReader
from pipeline.data.schema import Schema

TEXT = ["a|b", "b", None, ""]
LISTS = [["a", "b"], ["b"], None, []]
WHOLE = [[3, 4], [4], None, []]


def read(folder: Path, column: pa.Array, is_whole: bool) -> list[list[int]]:
    """The ids of a column of lists, row by row."""
    path = str(folder / "log.parquet")
    pq.write_table(pa.table({"label": [0, 1, 0, 1], "values": column}), path)
    ids = ("values",) if is_whole else ()
    schema = Schema("log", "label", (), ("values",), (11,), integer_ids=ids, lists=("values",), max_list_values=(3,))
    rows: list[list[int]] = ParquetReader([path], schema).read(0).ids.T.tolist()  # type: ignore[union-attr]
    return rows


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.string()),
        pa.large_list(pa.large_string()),
        pa.list_(pa.dictionary(pa.int32(), pa.string())),
        pa.string(),
        pa.large_string(),
        pa.dictionary(pa.int32(), pa.string()),
    ],
    ids=str,
)
def test_lists_of_text(tmp_path: Path, kind: pa.DataType) -> None:
    """Lists, and text with the separator, of whatever type give the same ids; null and empty lists are missing."""
    is_text = not pa.types.is_nested(kind)
    if pa.types.is_nested(kind) and pa.types.is_dictionary(kind.value_type):
        column = pa.ListArray.from_arrays(
            pa.array([0, 2, 3, 3, 3]),
            pa.array(["a", "b", "b"]).dictionary_encode(),
            mask=pa.array([False] * 2 + [True, False]),
        )
    elif pa.types.is_dictionary(kind):
        column = pa.array(TEXT).dictionary_encode()
    else:
        column = pa.array(TEXT if is_text else LISTS, kind)
    found = read(tmp_path, column, is_whole=False)
    assert found == read(tmp_path, pa.array(LISTS), is_whole=False)
    assert found[2:] == [[0, -1, -1]] * 2 and found[0][1] == found[1][0] > 0 and found[0][2] == -1


@pytest.mark.parametrize("kind", [pa.list_(pa.int8()), pa.large_list(pa.uint64()), pa.string()], ids=str)
def test_lists_of_whole_numbers(tmp_path: Path, kind: pa.DataType) -> None:
    """Of any width, and as text."""
    column = pa.array(["3| 4", "+4", None, "|"]) if pa.types.is_string(kind) else pa.array(WHOLE, kind)
    assert read(tmp_path, column, is_whole=True) == [[4, 5, -1], [5, -1, -1], [0, -1, -1], [0, -1, -1]]


@pytest.mark.parametrize(
    ("column", "is_whole", "expected"),
    [
        (
            pa.array([[1.5], [], None, []]),
            False,
            "expected lists of text, or text; name it in the schema's integer_ids",
        ),
        (pa.array([[1], [], None, []]), False, "expected lists of text, or text; name it in the schema's integer_ids"),
        (
            pa.array([["a"], [], None, []]),
            True,
            "expected lists of whole numbers, or text; leave it out of the schema's",
        ),
        (pa.array([[["a"]], [], None, []]), False, "expected lists of text, or text"),
        (pa.array([1, 2, 3, 4]), True, "expected lists of whole numbers, or text"),
    ],
)
def test_other_types(tmp_path: Path, column: pa.Array, is_whole: bool, expected: str) -> None:
    """File, column, type and what to do are named."""
    with pytest.raises(ValueError, match=rf"log.parquet: column 'values' is of type .*, {expected}"):
        read(tmp_path, column, is_whole)
