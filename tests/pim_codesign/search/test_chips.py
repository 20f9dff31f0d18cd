"""The nearest chip that can be built and converts without loss, against all chips."""

import dataclasses
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pim_codesign import PRESETS, Hardware
from pim_codesign.options import options_of
from pim_codesign.search.chips import lossless_chip

RELEVANT = ("array_rows", "cell_bits", "dac_bits", "columns_per_adc", "sign_coding")


@st.composite
def questions(draw: st.DrawFn) -> tuple[Hardware, dict[str, Any], set[str]]:
    """A preset's chip, options over it, and which of them are fixed."""
    choices = {name: st.sampled_from(one.choices) for name, one in options_of(Hardware).items() if name != "preset"}
    options = draw(st.fixed_dictionaries({}, optional=choices))
    fixed = {name for name in options if name in ("adc_bits", "flip_encoding") or draw(st.booleans())}
    return draw(st.sampled_from(list(PRESETS.values()))), options, fixed


@settings(max_examples=150, deadline=None)
@given(questions())
@pytest.mark.slow
def test_it_is_possible_keeps_what_is_fixed_and_is_refused_only_when_there_is_none(
    question: tuple[Hardware, dict[str, Any], set[str]],
) -> None:
    """The chip has every fixed option and clips nothing; a refusal means that no chip at all has the fixed options."""
    base, options, fixed = question
    try:
        chip = lossless_chip(base, options, fixed)
    except ValueError:
        assert not any(_possible(base, options, fixed))
        return
    assert all(getattr(chip, name) == options[name] for name in fixed)
    assert chip.lossless_adc_bits <= chip.adc_bits
    unchanged = set(options_of(Hardware)) - {*RELEVANT, "adc_bits", "flip_encoding"}
    assert all(getattr(chip, name) == options.get(name, getattr(base, name)) for name in unchanged)
    assert lossless_chip(base, vars(chip), fixed) == chip


def _possible(base: Hardware, options: dict[str, Any], fixed: set[str]) -> list[bool]:
    """Whether each chip with the fixed options converts without loss."""
    values = [(options[name],) if name in fixed else options_of(Hardware)[name].choices for name in RELEVANT]
    bits = options["adc_bits"] if "adc_bits" in fixed else base.technology.adc.max_bits
    found = []
    for combination in itertools.product(*values):
        chosen: dict[str, Any] = dict(zip(RELEVANT, combination, strict=True))
        flip = base.flip_encoding and chosen["sign_coding"] == "offset"
        chosen |= {"adc_bits": bits, "flip_encoding": options["flip_encoding"] if "flip_encoding" in fixed else flip}
        try:
            found.append(dataclasses.replace(base, **chosen).lossless_adc_bits <= bits)
        except ValueError:
            found.append(False)
    return found
