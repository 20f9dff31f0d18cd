"""Chip options set by a user over a preset's chip: every field of `Hardware`, None where the preset's value holds."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pim_codesign.circuits import ADC_BITS
from pim_codesign.hardware import Hardware
from pim_codesign.options import check_choice, options_of, overrides_of

if TYPE_CHECKING:

    class _HardwareOverrides:
        """For mypy, which cannot see the fields that `overrides_of` makes."""

        def __getattr__(self, name: str) -> Any: ...

else:
    _HardwareOverrides = overrides_of(Hardware)


@dataclass(frozen=True)
class ChipOptions(_HardwareOverrides):
    """Options of the chip; each option that is not given stays the preset's, or follows from those that are given."""

    @property
    def given(self) -> dict[str, Any]:
        """The options that were set, by name."""
        values = {name: getattr(self, name) for name in options_of(Hardware)}
        return {name: value for name, value in values.items() if value is not None}


def with_options(base: Hardware, given: Mapping[str, Any]) -> Hardware:
    """The chip `base` with the given options, and these others where they would contradict a given one.

    Flip encoding that is asked for brings offset coding, and differential coding switches flip encoding off; no more
    columns share a converter than the array has; the converters have the fewest bits that lose nothing. Raises
    ValueError for what is no option or no choice of it, where given options contradict each other, and where no
    converter of the preset has enough bits.

    >>> from pim_codesign.hardware import PRESETS
    >>> chip = with_options(PRESETS["isaac32"], {"array_rows": 64, "sign_coding": "differential"})
    >>> chip.columns_per_adc, chip.flip_encoding, chip.adc_bits
    (64, False, 8)
    """
    if unknown := sorted(set(given) - set(options_of(type(base)))):
        raise ValueError(f"{unknown} are no options of a chip; there are {list(options_of(type(base)))}")
    values = vars(base) | dict(given)
    for name, value in given.items():  # what is no choice is refused before anything follows from it
        check_choice(type(base), name, value)
    if given.get("flip_encoding") and "sign_coding" not in given:
        values["sign_coding"] = "offset"
    if "flip_encoding" not in given:
        values["flip_encoding"] = base.flip_encoding and values["sign_coding"] == "offset"
    if "columns_per_adc" not in given:
        values["columns_per_adc"] = min(values["columns_per_adc"], values["array_rows"])
    if "adc_bits" in given:
        return dataclasses.replace(base, **values)
    # First the chip with the narrowest converters: it refuses what is no choice before the bits are computed from it.
    chip = dataclasses.replace(base, **values | {"adc_bits": ADC_BITS[0]})
    if chip.lossless_adc_bits > chip.technology.adc.max_bits:
        raise ValueError(
            f"array_rows {chip.array_rows}, cell_bits {chip.cell_bits} and dac_bits {chip.dac_bits} need converters of "
            f"{chip.lossless_adc_bits} bits to lose nothing; the source of {chip.preset} has up to "
            f"{chip.technology.adc.max_bits} bits: choose smaller ones, or give adc_bits and accept clipped sums"
        )
    return dataclasses.replace(base, **values | {"adc_bits": max(ADC_BITS[0], chip.lossless_adc_bits)})
