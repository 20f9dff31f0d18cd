"""The body of a request to /score, as rows: what is wrong with one row must not be an error of those beside it."""

import json
from typing import Any

LONGEST_NUMBER = 400
"""Digits of a whole number that are read; a longer one is one that no column takes."""


class BodyError(ValueError):
    """What is wrong with a whole request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def read_rows(scope: Any, protocol: Any, most_bytes: int) -> Any:
    """The JSON of the body: a list of rows, or what is taken for one. BodyError with the status where it is none."""
    length = scope.headers.get("content-length")
    if length is not None and length.isdigit() and int(length) <= most_bytes:
        return parse_rows(await protocol())
    parts, size = list[bytes](), 0
    if length is None:  # sent in chunks
        async for part in protocol:
            parts.append(part)
            size += len(part)
            if size > most_bytes:
                break
    if length is not None or size > most_bytes:
        raise BodyError(413, f"a body may have {most_bytes} bytes; send fewer rows at a time, or raise --body-mb")
    return parse_rows(b"".join(parts))


def parse_rows(body: bytes) -> Any:
    """The JSON of a body. Bytes that are not UTF-8 and numbers of thousands of digits are left to their row.

    >>> parse_rows(b'[{"a": 1}, {"a": "\\xff"}]')[1]["a"].encode("utf-8", "surrogateescape")
    b'\\xff'
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(body.decode("utf-8", "surrogateescape"), parse_int=_whole_number)
    except (ValueError, RecursionError) as error:
        raise BodyError(400, f"the body is not JSON: {str(error)[:200]}") from error


def _whole_number(digits: str) -> int:
    if len(digits) <= LONGEST_NUMBER:
        return int(digits)
    return -(10**LONGEST_NUMBER) if digits.startswith("-") else 10**LONGEST_NUMBER
