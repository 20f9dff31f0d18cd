"""pipeline/data/stream/background.py: an iterator in a thread; its errors reach the reader, its end is clean."""

import threading
from collections.abc import Generator

import pytest

from pipeline.data.stream.background import Background


def threads() -> int:
    """Background threads alive."""
    return sum(thread.name == "data-read-ahead" for thread in threading.enumerate())


def test_items_then_error() -> None:
    """Items come in order, then the error that ended them."""

    def items() -> Generator[int, None, None]:
        yield from range(5)
        raise ValueError("no more")

    background = Background(items(), 2)
    assert [next(background) for _ in range(5)] == list(range(5))
    with pytest.raises(ValueError, match="no more"):
        next(background)
    background.close()


def test_depth() -> None:
    """No more items are made than may wait, one being handed over and one being made."""
    made: list[int] = []
    asked = threading.Event()

    def items() -> Generator[int, None, None]:
        for number in range(100):
            made.append(number)
            if number == 4:
                asked.set()
            yield number

    background = Background(items(), 3)
    assert next(background) == 0
    assert asked.wait(120)
    background.close()
    assert len(made) <= 6


def test_generator_is_closed() -> None:
    """Closing, and forgetting, end the generator and the thread."""
    before, closed = threads(), []

    def items() -> Generator[int, None, None]:
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    background = Background(items(), 1)
    next(background)
    background.close()
    forgotten = Background(items(), 1)
    next(forgotten)
    del forgotten
    assert len(closed) == 2
    assert threads() == before
