"""Checks of what a user gives: each returns the value, or raises a ValueError with its place, the value and the range.

A bool is no number here, though Python counts it as 0 or 1, and a number that is not finite is none either.
"""

import math
from typing import Any

import numpy
from numpy.typing import NDArray


def whole(where: str, value: Any, least: int, most: int | None = None) -> int:
    """A whole number from `least` to `most`.

    >>> whole("Stage.inputs", 3, least=0)
    3
    >>> whole("OperatorMapping.weight_bits", 8.5, 2, 16)
    Traceback (most recent call last):
    ValueError: OperatorMapping.weight_bits is 8.5; it must be a whole number from 2 to 16
    """
    kind = isinstance(value, (int, numpy.integer)) and not isinstance(value, (bool, numpy.bool_))
    if not kind or value < least or (most is not None and value > most):
        allowed = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{where} is {value!r}; it must be a whole number {allowed}")
    return int(value)


def number(
    where: str, value: Any, least: float | None = None, above: float | None = None, most: float = math.inf
) -> float:
    """A finite number of at least `least`, or above `above`, and at most `most`.

    >>> number("Cell.read_time_ns", float("nan"), above=0)
    Traceback (most recent call last):
    ValueError: Cell.read_time_ns is nan; it must be a finite number above 0
    """
    kind = isinstance(value, (int, float, numpy.integer, numpy.floating)) and not isinstance(value, bool)
    low_enough = kind and (least is None or value >= least) and (above is None or value > above)
    if not low_enough or not math.isfinite(value) or value > most:
        allowed = "" if least is None else f" of at least {least}"
        allowed += "" if above is None else f" above {above}"
        allowed += "" if math.isinf(most) else f" and at most {most}"
        raise ValueError(f"{where} is {value!r}; it must be a finite number{allowed}")
    return float(value)


def integer_matrix(where: str, values: Any, axes: str, columns: int | None = None) -> NDArray[numpy.int64]:
    """A two-dimensional array of integers, with so many columns; `axes` names its axes, for example "[O, I]".

    >>> integer_matrix("inputs", [[1, 2]], "[N, I]", columns=3)
    Traceback (most recent call last):
    ValueError: inputs [N, I] have 2 columns; the matrix has 3
    """
    array = numpy.asarray(values)
    if array.ndim != 2:
        raise ValueError(f"{where} have the shape {list(array.shape)}; give two dimensions, {axes}")
    if not numpy.issubdtype(array.dtype, numpy.integer):
        _finite(where, array)
        raise ValueError(f"{where} are of type {array.dtype}; give integers, as numpy.rint(x / step).astype(int) makes")
    if columns is not None and array.shape[1] != columns:
        raise ValueError(f"{where} {axes} have {array.shape[1]} columns; the matrix has {columns}")
    return array.astype(numpy.int64, copy=False)


def finite(where: str, values: Any) -> None:
    """Raise ValueError where a tensor or array has a number that is NaN or infinite, with its index.

    >>> finite("weights of 'head'", [[0.0, float("nan")]])
    Traceback (most recent call last):
    ValueError: weights of 'head' have nan at [0, 1]; give finite numbers
    """
    detached = values.detach().cpu().numpy() if hasattr(values, "detach") else numpy.asarray(values)
    _finite(where, detached)


def _finite(where: str, array: NDArray[Any]) -> None:
    if not numpy.issubdtype(array.dtype, numpy.number):
        raise ValueError(f"{where} are of type {array.dtype}; give numbers")
    good = numpy.isfinite(array)
    if not good.all():
        index = tuple(numpy.argwhere(~good)[0].tolist())
        raise ValueError(f"{where} have {array[index]} at {list(index)}; give finite numbers")
