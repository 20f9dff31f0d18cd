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
        self._filled: queue.SimpleQueue[Callable[[], T]] = queue.SimpleQueue()  # its get waits once, not three times
        self._room = threading.Semaphore(depth)
        self._stop = threading.Event()
        arguments = (items, self._filled, self._room, self._stop)
        self._thread = threading.Thread(target=_fill, args=arguments, name="data-read-ahead", daemon=True)
        self._thread.start()
        self._finalizer = weakref.finalize(self, _end, self._thread, self._room, self._stop)

    def __next__(self) -> T:
        """The next item, or the error that was met instead."""
        give = self._filled.get()
        self._room.release()
        return give()

    def close(self) -> None:
        """Ends the generator and its thread."""
        self._finalizer()


def _fill(
    items: Generator[T, None, None],
    filled: "queue.SimpleQueue[Callable[[], T]]",
    room: threading.Semaphore,
    stop: threading.Event,
) -> None:
    """The thread: puts a function that gives the next item, or raises what went wrong."""

    def put(give: Callable[[], T]) -> bool:
        room.acquire()
        if stop.is_set():
            return False
        filled.put(give)
        return True

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


def _end(thread: threading.Thread, room: threading.Semaphore, stop: threading.Event) -> None:
    stop.set()
    room.release()  # the thread may wait for it
    thread.join()
