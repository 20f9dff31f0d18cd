"""An iterator run in a thread, some items ahead of its reader."""

import queue
import threading
import weakref
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """Runs a generator in a thread; its errors come out of `__next__`, its thread ends on `close` or when forgotten."""

    def __init__(self, items: Generator[T, None, None], depth: int) -> None:
        """`depth`: items that may wait for the reader."""
        self._queue: queue.Queue[Callable[[], T]] = queue.Queue(maxsize=depth)
        self._stop = threading.Event()
        arguments = (items, self._queue, self._stop)
        self._thread = threading.Thread(target=_fill, args=arguments, name="data-read-ahead", daemon=True)
        self._thread.start()
        self._finalizer = weakref.finalize(self, _end, self._thread, self._queue, self._stop)

    def __next__(self) -> T:
        """The next item, or the error that was met instead."""
        return self._queue.get()()

    def close(self) -> None:
        """Ends the generator and its thread."""
        self._finalizer()


def _fill(items: Generator[T, None, None], filled: "queue.Queue[Callable[[], T]]", stop: threading.Event) -> None:
    """The thread: puts a function that gives the next item, or raises what went wrong."""

    def put(give: Callable[[], T]) -> bool:
        while not stop.is_set():
            try:
                filled.put(give, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def giving(item: T) -> Callable[[], T]:
        return lambda: item

    def failing(error: BaseException) -> Callable[[], T]:
        def give() -> T:
            raise error

        return give

    try:
        while put(giving(next(items))):  # held by nothing here while the next is made
            pass
    except StopIteration:
        put(failing(AssertionError("more items asked for than there are")))
    except BaseException as error:  # whatever it is, it belongs to the reader
        put(failing(error))
    finally:
        items.close()


def _end(thread: threading.Thread, filled: "queue.Queue[Callable[[], T]]", stop: threading.Event) -> None:
    stop.set()
    while not filled.empty():
        filled.get_nowait()
    thread.join()
