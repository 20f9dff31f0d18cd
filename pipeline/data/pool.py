"""Memory for rows from Arrow's pool, which keeps what is freed: faulting fresh pages in costs as much as decoding."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def pool_array(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array of undefined contents; its memory returns to the pool with the last view of it.

    >>> pool_array((2, 3), np.int32).shape, pool_array((0, 3), np.int32).shape
    ((2, 3), (0, 3))
    """
    count = math.prod(shape)
    memory = pa.allocate_buffer(max(1, count) * np.dtype(dtype).itemsize)  # an empty buffer has no array
    return np.frombuffer(memory, dtype)[:count].reshape(shape)
