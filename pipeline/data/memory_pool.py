"""Memory for rows and batches, used again as it becomes free: faulting fresh pages in costs as much as decoding.

Large arrays of a few sizes come and go in another order than they were made in. A general allocator either gives them
back each time, or keeps so much in reserve that a long stream takes more memory than a short one (DECISIONS.md).
"""

import contextlib
import math
import mmap
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

MAX_FREE_BYTES = 32 * 2**20
"""Kept for later; beyond it the block that has waited longest goes back to the system."""
MAX_SLACK = 1.5
"""A block serves whoever asks for less, down to this factor: the units of a text file have nearly as many
rows, not equally many, and the last of a file has fewer."""
SCRATCH_DECAY_MS = 100
"""Free scratch memory goes back to the system after so long; at once would cost as much as decoding."""


class Pool:
    """Blocks of memory, each given back when the last view of its array is gone, and handed out again."""

    def __init__(self, max_free_bytes: int = MAX_FREE_BYTES) -> None:
        self._max_free_bytes = max_free_bytes
        self._free: deque[mmap.mmap] = deque()  # the one that has waited longest is first
        self._lock = threading.Lock()
        self.free_bytes = 0

    def array(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """An array of undefined contents.

        >>> Pool().array((2, 3), np.int32).shape, Pool().array((0, 3), np.int32).shape
        ((2, 3), (0, 3))
        """
        count = math.prod(shape)
        block = self._take(-(-max(1, count) * np.dtype(dtype).itemsize // mmap.PAGESIZE) * mmap.PAGESIZE)
        flat = np.frombuffer(block, dtype)  # every view's base is this array, and with it the block
        weakref.finalize(flat, self._give_back, block).atexit = False
        return flat[:count].reshape(shape)

    def _take(self, nbytes: int) -> mmap.mmap:
        with self._lock:
            for place, block in enumerate(self._free):
                if nbytes <= len(block) <= nbytes * MAX_SLACK:
                    del self._free[place]
                    self.free_bytes -= len(block)
                    return block
            self._shrink_to(max(0, self.free_bytes - nbytes))  # a new block takes the place of free ones
        return mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def _give_back(self, block: mmap.mmap) -> None:
        """Keeps the block, unless the pool is busy: this may be a garbage collection while this thread takes one."""
        if not self._lock.acquire(blocking=False):
            return
        self._free.append(block)
        self.free_bytes += len(block)
        self._shrink_to(self._max_free_bytes)
        self._lock.release()

    def _shrink_to(self, free_bytes: int) -> None:
        while self.free_bytes > free_bytes:
            self.free_bytes -= len(self._free.popleft())


POOL = Pool()
"""The process's."""


@contextlib.contextmanager
def scratch_memory() -> Iterator[None]:
    """What Arrow allocates here is dropped soon: jemalloc lends it, unless another pool than Arrow's own was chosen.

    Its default, mimalloc, is faster where columns are kept, but keeps some for every size of page that it has met: in
    time 58 MB where 8 are in use. Another thread that reads meanwhile may use one pool or the other.
    """
    own = pa.default_memory_pool()
    chosen = "ARROW_DEFAULT_MEMORY_POOL" in os.environ or own.backend_name != "mimalloc"
    if chosen or "jemalloc" not in pa.supported_memory_backends():
        yield
        return
    pa.jemalloc_set_decay_ms(SCRATCH_DECAY_MS)
    pa.set_memory_pool(pa.jemalloc_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(own)
