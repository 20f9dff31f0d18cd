"""pipeline/serving/request_body.py: rows of a body; only what is no JSON is an error of all of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.serving.request_body import BodyError, parse_rows, read_rows

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(JSON)
def test_json_is_read_as_it_is(value: Any) -> None:
    """Whatever JSON there is, written in either way."""
    assert parse_rows(json.dumps(value).encode()) == value
    if "\\ud" not in json.dumps(value):
        assert parse_rows(json.dumps(value, ensure_ascii=False).encode()) == value


def test_what_is_left_to_its_row() -> None:
    """Bytes that are not UTF-8 and numbers of 10,000 digits do not reach the rows beside them."""
    for bad in (b'"\xff\xfe"', b"9" * 10_000, b"-" + b"9" * 10_000, b"NaN", b'"\\ud800"'):
        rows = parse_rows(b'[{"a": 1}, {"a": ' + bad + b'}, {"a": "\xc3\xbc"}]')
        assert rows[0] == {"a": 1} and rows[2] == {"a": "ü"} and set(rows[1]) == {"a"}
    assert parse_rows(b"[" + b"9" * 10_000 + b"]")[0] >= 2**64 and parse_rows(b"[-" + b"9" * 10_000 + b"]")[0] < -(
        2**63
    )


@pytest.mark.parametrize("body", [b"", b"[", b"{'a': 1}", b"\xff", b"[" * 100_000, b'{"a": 1}x', b"\x00" * 1000])
def test_no_json(body: bytes) -> None:
    """It is one error of status 400, however deep."""
    with pytest.raises(BodyError, match="the body is not JSON") as found:
        parse_rows(body)
    assert found.value.status == 400 and len(str(found.value)) < 300


class Body:
    """A request's body as Granian gives it: whole when called, or in parts."""

    def __init__(self, parts: list[bytes]) -> None:
        self.parts = parts

    async def __call__(self) -> bytes:
        return b"".join(self.parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part


def read(parts: list[bytes], length: str | None, most_bytes: int) -> Any:
    """What is read of a body."""
    scope = SimpleNamespace(headers={} if length is None else {"content-length": length})
    return asyncio.run(read_rows(scope, Body(parts), most_bytes))


def test_sizes() -> None:
    """A body as large as allowed is read, whole or in chunks; a larger one is status 413, before all of it is read."""
    parts = [b'["', b"x" * 100, b'"]']
    assert read(parts, "104", 104) == read(parts, None, 104) == ["x" * 100]
    for length in ("104", None, "-1", "9" * 30):
        with pytest.raises(BodyError, match="may have 103 bytes") as found:
            read(parts, length, 103)
        assert found.value.status == 413
