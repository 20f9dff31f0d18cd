"""The chip's options."""

from typing import Any

import pytest

from pim_codesign.hardware import PRESETS, Hardware


def test_every_preset_converts_without_loss() -> None:
    """A preset's converters have the bits its arrays need, so quantization alone gives its accuracy."""
    for hardware in PRESETS.values():
        assert hardware.adc_bits == hardware.lossless_adc_bits


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"array_rows": 100}, "array_rows"),
        ({"adc_bits": 11}, "adc_bits"),
        ({"columns_per_adc": 128, "array_rows": 64}, "columns_per_adc"),
        ({"preset": "mnsim", "adc_bits": 9}, "up to 8 bits"),
        ({"preset": "murmann"}, "preset"),
        ({"sign_coding": "differential"}, "flip_encoding"),
        ({"node_nm": 28}, "node_nm"),
    ],
)
def test_impossible_chips_are_refused(options: dict[str, Any], message: str) -> None:
    """A ValueError names the field, what was found and what is possible."""
    with pytest.raises(ValueError, match=message):
        Hardware(**options)
