"""SIGTERM: what schedulers send before they kill.

A training notes it, writes a checkpoint at its next step, and ends; all other work ends where it stands, as every stage
resumes from what it has written. Either way the program ends with status 143, as one that the signal killed.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

STATUS = 128 + signal.SIGTERM
"""Exit status of a program that was stopped."""


class Stopped(SystemExit):
    """This process was asked to end, and may: it has written what the same command resumes from."""

    def __init__(self) -> None:
        super().__init__(STATUS)


@dataclass
class _Request:
    is_made: bool = False
    """Whether SIGTERM has come."""
    holders: int = 0
    """Blocks of `held_back` that this process is in."""


_REQUEST = _Request()
"""Of this process, as signals are."""


@contextmanager
def sigterm_stops() -> Iterator[None]:
    """For the length of the block, SIGTERM raises Stopped in the main thread, or is noted in a `held_back`."""
    before = signal.signal(signal.SIGTERM, _note)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _REQUEST.is_made = False


@contextmanager
def held_back() -> Iterator[None]:
    """Inside, SIGTERM only makes `is_stop_asked` true. Raises Stopped at the end of the block if it came and nothing
    was raised."""
    _REQUEST.holders += 1
    try:
        yield
    finally:
        _REQUEST.holders -= 1
    if _REQUEST.is_made and not _REQUEST.holders:
        raise Stopped


def is_stop_asked() -> bool:
    """Whether SIGTERM has come."""
    return _REQUEST.is_made


def _note(number: int, frame: FrameType | None) -> None:
    _REQUEST.is_made = True
    if not _REQUEST.holders:
        raise Stopped
