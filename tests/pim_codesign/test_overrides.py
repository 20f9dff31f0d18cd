"""Options that a user sets over a preset's chip."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pim_codesign import PRESETS, ChipOptions, Hardware, with_options
from pim_codesign.options import options_of

GIVEN = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(one.choices) for name, one in options_of(Hardware).items() if name != "preset"}
)
FOLLOWING = {"sign_coding", "flip_encoding", "columns_per_adc", "adc_bits"}


@pytest.mark.parametrize("name", list(PRESETS))
def test_without_options_a_preset_stays_as_it_is(name: Any) -> None:
    """Nothing given changes nothing."""
    assert with_options(PRESETS[name], {}) == PRESETS[name]
    assert ChipOptions().given == {}


@given(st.sampled_from(list(PRESETS.values())), GIVEN)
def test_every_given_option_holds(base: Hardware, options: dict[str, Any]) -> None:
    """The chip has each given option; the others are the base chip's, but for the four that follow; and without a
    given number of converter bits it converts without loss."""
    try:
        chip = with_options(base, options)
    except ValueError:
        assume(False)
    for name in options_of(Hardware):
        if name in options:
            assert getattr(chip, name) == options[name]
        elif name not in FOLLOWING:
            assert getattr(chip, name) == getattr(base, name)
    if "adc_bits" not in options:
        assert chip.adc_bits == max(4, chip.lossless_adc_bits)


def test_what_contradicts_is_refused_by_name() -> None:
    """Two given options that exclude each other, and a chip that no converter of its preset suits."""
    base = PRESETS["isaac32"]
    with pytest.raises(ValueError, match="flip_encoding"):
        with_options(base, {"flip_encoding": True, "sign_coding": "differential"})
    with pytest.raises(ValueError, match="columns_per_adc is 128; an array has 64 columns"):
        with_options(base, {"columns_per_adc": 128, "array_rows": 64})
    with pytest.raises(ValueError, match="converters of 14 bits to lose nothing; the source of isaac32 has up to 10"):
        with_options(base, {"cell_bits": 4, "dac_bits": 4})
    with pytest.raises(ValueError, match="up to 8 bits"):
        with_options(PRESETS["mnsim"], {"adc_bits": 9})
    with pytest.raises(ValueError, match="node_nm is 28"):
        with_options(base, {"node_nm": 28})


def test_asking_for_flip_encoding_brings_offset_coding() -> None:
    """On a differential preset the coding follows, since a differential pair has nothing to flip."""
    assert with_options(PRESETS["mnsim"], {"flip_encoding": True}).sign_coding == "offset"
