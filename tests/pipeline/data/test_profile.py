"""pipeline/data/profile.py: what columns hold, against plain Python over the same values."""

import collections
import csv
import datetime
import gzip
import io
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data import profile
from pipeline.data.profile import SHOWN_VALUES, ColumnProfile, ListProfile, profile_parquet, profile_text

WORDS = st.lists(st.sampled_from(["", "a", "b", "long word", "1", "2", "-3", "1.5"]), min_size=3, max_size=30)


def expected(name: str, values: list[str]) -> ColumnProfile:
    """The profile of a column of texts, by hand."""
    present = [value for value in values if value]
    whole = all(value.lstrip("-").isdigit() for value in present)
    numbers = all(value.lstrip("-").replace(".", "").isdigit() for value in present)
    kind = "nothing" if not present else "whole numbers" if whole else "numbers" if numbers else "text"
    as_numbers = [float(value) for value in present] if kind in ("whole numbers", "numbers") else []
    counts = sorted(collections.Counter(present).items(), key=lambda item: (-item[1], item[0]))
    return ColumnProfile(
        name,
        kind,  # type: ignore[arg-type]
        len(values) - len(present),
        len(set(present)),
        min(as_numbers, default=None),
        max(as_numbers, default=None),
        tuple(counts[:SHOWN_VALUES]),
        rises=len(set(as_numbers)) > 1 and as_numbers == sorted(as_numbers),
    )


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(WORDS, st.sampled_from([",", "\t", ";"]))
def test_text_columns(tmp_path_factory: pytest.TempPathFactory, values: list[str], delimiter: str) -> None:
    """Any column beside one of numbers: kind, missing, distinct, range and most frequent values are those by hand."""
    path = tmp_path_factory.mktemp("log") / "log.csv"
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(["row", "column"])
    writer.writerows([[number, value] for number, value in enumerate(values)])
    path.write_text(text.getvalue())
    found = profile_text([str(path)], delimiter)
    assert (found.rows, found.is_whole, found.delimiter, found.has_header) == (len(values), True, delimiter, True)
    assert found.columns == (expected("row", [str(row) for row in range(len(values))]), expected("column", values))


def test_a_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a log larger than the sample whole lines of the beginning of each file are read, and that is said."""
    monkeypatch.setattr(profile, "SAMPLE_BYTES", 2**16)
    for day in range(2):
        with gzip.open(tmp_path / f"day_{day}.csv.gz", "wt") as file:
            file.write("label,item\n" + "".join(f"{row % 2},item-{day}-{row}\n" for row in range(20_000)))
    found = profile_text([str(tmp_path / f"day_{day}.csv.gz") for day in range(2)])
    assert not found.is_whole and 2 * 3_000 < found.rows < 2 * 20_000
    label, item = found.columns
    assert (label.distinct, label.missing, item.distinct, item.missing) == (2, 0, found.rows, 0)


def test_digits_that_are_no_numbers(tmp_path: Path) -> None:
    """Digits that 64 bits do not hold are text; so is a column in which they stand among small ones."""
    (tmp_path / "log.csv").write_text("label,id\n0,10000174058809263569\n1,5\n")
    assert profile_text([str(tmp_path / "log.csv")]).columns[1].kind == "text"


TIMES = {
    "dates": (["2024-05-01", "2024-05-02", "2024-05-02"], "times", True),
    "with a gap": (["2024-05-01 17:03", "", "2024-05-01 17:03:09.25"], "times", True),
    "falling": (["2024-05-02T00:00:00Z", "2024-05-01T00:00:00+02:00", "2024-05-03T00:00:00Z"], "times", False),
    "zones here and there": (["2024-05-01T17:03Z", "2024-05-01T17:03", "2024-05-01T17:03"], "text", False),
    "other forms": (["1.5.2024", "2.5.2024", "3.5.2024"], "text", False),
    "decimals": (["1714582989.5", "1714582989.75", "1714582990"], "numbers", True),
    "one value": (["2024-05-01"] * 3, "times", False),
}


@pytest.mark.parametrize(("values", "kind", "rises"), TIMES.values(), ids=TIMES)
def test_times(tmp_path: Path, values: list[str], kind: str, rises: bool) -> None:
    """ISO-8601 text, all with a zone or all without, is told from other text, and whether it rises from row to row."""
    (tmp_path / "log.csv").write_text("row,when\n" + "".join(f"{row},{value}\n" for row, value in enumerate(values)))
    found = profile_text([str(tmp_path / "log.csv")]).columns[1]
    assert (found.kind, found.rises, found.missing) == (kind, rises, values.count(""))


def test_parquet_times(tmp_path: Path) -> None:
    """Arrow's timestamps and dates are times."""
    moments = [datetime.datetime(2024, 5, 1, hour) for hour in range(3)]
    columns = {"local": moments, "date": pa.array(moments).cast(pa.date32())}
    columns |= {unit: pa.array(moments, pa.timestamp(unit, "UTC")) for unit in ("s", "ns")}
    pq.write_table(pa.table({**columns, "falling": moments[::-1]}), tmp_path / "log.parquet")
    found = profile_parquet([str(tmp_path / "log.parquet")]).columns
    assert {column.name: (column.kind, column.rises) for column in found} == {
        **dict.fromkeys(("local", "s", "ns"), ("times", True)),
        "date": ("times", False),
        "falling": ("times", False),
    }


def test_parquet_columns(tmp_path: Path) -> None:
    """Typed columns as the same values in text; NaN is missing; of lists the values count."""
    columns = {
        "label": [0, 1, 1, None],
        "price": [1.5, math.nan, -2.0, 4.0],
        "item": ["a", "", "a", None],
        "genres": [["a"], [], None, ["b", "c"]],
    }
    pq.write_table(pa.table(columns), tmp_path / "log.parquet")
    found = profile_parquet([str(tmp_path / "log.parquet")])
    label, price, item, genres = found.columns
    assert (label.kind, label.missing, label.top[0]) == ("whole numbers", 1, ("1", 2))
    assert (price.kind, price.lowest, price.highest) == ("numbers", -2.0, 4.0)
    assert (item.kind, item.missing, item.distinct) == ("text", 2, 1)
    assert (genres.kind, genres.missing, genres.distinct, genres.top[0]) == ("lists", 2, 3, ("a", 1))
    assert genres.lists == ListProfile("text", mean=0.75, longest=2)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_files_that_cannot_be_read(tmp_path: Path, suffix: str) -> None:
    """An empty file, a damaged one, and one that is not Parquet are named."""
    path = tmp_path / f"log.csv{suffix}"
    path.write_bytes(b"" if not suffix else gzip.compress(b"label,item\n" * 5000)[:-20])
    with pytest.raises(ValueError, match=f"log.csv{suffix}: the (file is empty|gzip data are truncated)"):
        profile_text([str(path)])
    with pytest.raises(ValueError, match="not a whole Parquet file"):
        profile_parquet([str(path)])
