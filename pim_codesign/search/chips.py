"""The chips a search may choose: they can be built, and their converters lose nothing.

The log losses that the search measures are those of exact sums, so a chip that clips sums would look too good.
"""

from collections.abc import Collection, Mapping
from typing import Any

from pim_codesign.hardware import TECHNOLOGIES, Hardware
from pim_codesign.mapping.slicing import lossless_adc_bits
from pim_codesign.options import Choice, options_of
from pim_codesign.overrides import with_options


def lossless_chip(base: Hardware, options: Mapping[str, Any], fixed: Collection[str]) -> Hardware:
    """The chip `base` with `options`, or the nearest one that can be built and converts without loss.

    Options named in `fixed` are kept. Of the others, first fewer columns share a converter until the array has as many
    columns; then inputs, cells and arrays become smaller until lossless converters exist, and at last the coding
    becomes offset, with flip encoding where `base` has it. Flip encoding that is fixed brings offset coding. Raises
    ValueError where the fixed options leave no such chip.

    >>> chip = lossless_chip(Hardware(), {"dac_bits": 4}, fixed={"dac_bits"})
    >>> chip.cell_bits, chip.array_rows, chip.adc_bits
    (1, 128, 10)
    """
    values = vars(base) | dict(options)
    while step := _step(values, type(base), fixed):
        name, values[name] = step
    following = {"adc_bits", "flip_encoding"} - set(fixed)
    chip = with_options(base, {name: value for name, value in values.items() if name not in following})
    if chip.lossless_adc_bits > chip.adc_bits:
        raise ValueError(
            f"adc_bits is {chip.adc_bits}, but no chip with these options converts without loss in fewer than "
            f"{chip.lossless_adc_bits} bits; the search measures the log losses of exact sums"
        )
    return chip


def _step(values: Mapping[str, Any], kind: type, fixed: Collection[str]) -> tuple[str, Choice] | None:
    """An option and its next value on the way to a possible chip; None when there is nothing to change."""
    columns, rows = values["columns_per_adc"], values["array_rows"]
    may_flip = values["flip_encoding"] and values["sign_coding"] == "differential" and "sign_coding" not in fixed
    if may_flip and "flip_encoding" in fixed:
        return "sign_coding", "offset"
    if columns > rows:
        if "columns_per_adc" not in fixed:
            return "columns_per_adc", _neighbour(kind, "columns_per_adc", columns, -1)
        return None if "array_rows" in fixed else ("array_rows", _neighbour(kind, "array_rows", rows, 1))
    flipped = values["flip_encoding"] and values["sign_coding"] == "offset"
    most = values["adc_bits"] if "adc_bits" in fixed else TECHNOLOGIES[values["preset"]].adc.max_bits
    if lossless_adc_bits(rows, values["cell_bits"], values["dac_bits"], flipped) <= most:
        return None
    for name in ("dac_bits", "cell_bits", "array_rows"):
        if name in fixed or values[name] == options_of(kind)[name].choices[0]:
            continue
        smaller = _neighbour(kind, name, values[name], -1)
        if name != "array_rows" or "columns_per_adc" not in fixed or int(smaller) >= columns:
            return name, smaller
    return ("sign_coding", "offset") if may_flip else None  # flip encoding saves a bit


def _neighbour(kind: type, name: str, value: Choice, step: int) -> Choice:
    choices = options_of(kind)[name].choices
    return choices[choices.index(value) + step]
