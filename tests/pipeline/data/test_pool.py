"""pipeline/data/pool.py: arrays in Arrow's pool live as long as a view of them, and no longer."""

import numpy as np
import pyarrow as pa

from pipeline.data.pool import pool_array


def test_memory_goes_back_with_the_last_view() -> None:
    """Writable, counted by the pool while a view is alive, and given back after it."""
    before = pa.total_allocated_bytes()
    array = pool_array((4, 1000), np.int64)
    array[:] = 7
    view = array[2:, ::2]
    del array
    assert pa.total_allocated_bytes() - before >= 4 * 1000 * 8 and (view == 7).all()
    del view
    assert pa.total_allocated_bytes() == before
