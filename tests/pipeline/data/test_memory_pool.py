"""pipeline/data/memory_pool.py: an array is nobody else's while a view of it lives; then its memory is used again."""

import gc
import itertools
import mmap
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.memory_pool import Pool

PAGE = mmap.PAGESIZE


def test_memory_is_used_again_after_the_last_view() -> None:
    """Writable; a view keeps it; after the last view the next array of the size has the same memory."""
    pool = Pool()
    array = pool.array((4, PAGE), np.int64)
    address = array.ctypes.data
    array[:] = 7
    view = array[2:, ::2].T
    del array
    other = pool.array((4, PAGE), np.int64)
    assert other.ctypes.data != address and pool.free_bytes == 0
    other[:] = 8
    assert (view == 7).all()
    del view
    assert pool.free_bytes == 4 * PAGE * 8
    assert pool.array((2 * PAGE, 2), np.float64).ctypes.data == address, "the shape and the type may be others"


def test_a_larger_block_serves() -> None:
    """A block up to half as large again is used and comes back whole; a larger one makes room for a new one."""
    pool = Pool()
    address = pool.array((6 * PAGE,), np.uint8).ctypes.data
    assert pool.array((4 * PAGE,), np.uint8).ctypes.data == address
    assert pool.free_bytes == 6 * PAGE
    small = pool.array((3 * PAGE,), np.uint8)
    assert small.ctypes.data != address and pool.free_bytes == 0


@given(st.lists(st.tuples(st.integers(0, 3 * PAGE), st.booleans()), max_size=30), st.integers(0, 6))
def test_no_two_share_and_little_is_kept(steps: list[tuple[int, bool]], max_free_pages: int) -> None:
    """Arrays alive at once never overlap, and no more is kept than allowed, nor than was in use at its height."""
    pool = Pool(max_free_pages * PAGE)
    alive: list[np.ndarray] = []
    most = 0
    for number, (size, drop) in enumerate(steps):
        if drop and alive:
            alive.pop(size % len(alive))
        array = pool.array((size,), np.uint8)
        array[:] = number % 251
        alive.append(array)
        del array
        in_use = sum(-(-max(1, len(each)) // PAGE) * PAGE for each in alive)
        most = max(most, in_use)
        assert pool.free_bytes <= max_free_pages * PAGE and in_use + pool.free_bytes <= most
        assert all((each == each[0]).all() for each in alive if len(each))
    spans = sorted((each.ctypes.data, len(each)) for each in alive if len(each))
    assert all(start + length <= following for (start, length), (following, _) in itertools.pairwise(spans))


def test_a_cycle_gives_back_too() -> None:
    """An array that only the garbage collector can free comes back as well."""
    pool = Pool()
    cycle: list[object] = [pool.array((PAGE,), np.uint8)]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert pool.free_bytes == PAGE


def test_a_collection_while_a_block_is_taken() -> None:
    """Blocks that come back while the pool is being searched neither stop the search nor spoil the count."""
    pool = Pool()
    thresholds = gc.get_threshold()
    try:
        gc.set_threshold(1)  # nearly every object made collects
        for number in range(300):
            cycle: list[object] = [pool.array((PAGE * (1 + number % 3),), np.uint8)]
            cycle.append(cycle)
            del cycle
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    array = pool.array((PAGE,), np.uint8)
    with pool._lock:
        before = pool.free_bytes
        del array
        assert pool.free_bytes == before
    assert pool.free_bytes == sum(len(block) for block in pool._free) <= pool._max_free_bytes


def test_scratch_memory() -> None:
    """Within, Arrow's memory is jemalloc's, and after an error its own again; what the user chose stays."""
    code = (
        "import pyarrow as pa\n"
        "from pipeline.data.memory_pool import scratch_memory\n"
        "backend = lambda: pa.default_memory_pool().backend_name\n"
        "import sys; sys.argv[1:] and pa.set_memory_pool(pa.system_memory_pool())\n"
        "found = [backend()]\n"
        "try:\n"
        "    with scratch_memory():\n"
        "        found.append(backend())\n"
        "        raise ValueError\n"
        "except ValueError:\n"
        "    print(*found, backend())"
    )
    scratch = "jemalloc" if "jemalloc" in pa.supported_memory_backends() else "mimalloc"
    environment = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    chosen = {"ARROW_DEFAULT_MEMORY_POOL": "mimalloc"}
    cases = [({}, [], f"mimalloc {scratch} mimalloc"), (chosen, [], "mimalloc " * 3), ({}, ["system"], "system " * 3)]
    for asked, arguments, expected in cases:
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, env={**environment, **asked}, capture_output=True, text=True, check=True)
        assert done.stdout.split() == expected.split()
