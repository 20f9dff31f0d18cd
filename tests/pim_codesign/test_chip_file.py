"""A chip's file: TOML and JSON are read alike, and each mistake is named with the file."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import tyro
from hypothesis import assume, given
from hypothesis import strategies as st

from pim_codesign import PRESETS, Hardware, with_options
from pim_codesign.__main__ import Options, main
from pim_codesign.chip_file import read_chip, read_chip_options
from pim_codesign.options import options_of

GIVEN = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(one.choices) for name, one in options_of(Hardware).items()}
)


def toml(options: dict[str, Any]) -> str:
    """Options as a TOML file; JSON's words for strings, numbers and bools are TOML's too."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in options.items())


@given(GIVEN)
def test_both_formats_give_the_chip_of_their_options(tmp_path_factory: pytest.TempPathFactory, given: dict) -> None:
    """Whatever options: the chip is that of `with_options` on the preset that the file names."""
    try:
        chip = with_options(PRESETS[given.get("preset", "isaac32")], given)
    except ValueError:
        assume(False)
    folder = tmp_path_factory.mktemp("chip", numbered=True)
    for name, text in (("chip.toml", toml(given)), ("chip.json", json.dumps(given))):
        (folder / name).write_text(text)
        assert read_chip_options(folder / name) == given
        assert read_chip(folder / name) == chip


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("chip.toml", "array_rows = ", "Invalid value"),
        ("chip.toml", "array_rows = 64\narray_rows = 128", "overwrite"),
        ("chip.json", '{"array_rows": 64, "array_rows": 128}', "'array_rows' stands there 2 times"),
        ("chip.json", "[64]", r"it holds \[64\]"),
        ("chip.json", "{", "Expecting property name"),
        ("chip.toml", "rows = 64", "'rows' is no option of a chip; there are"),
        ("chip.toml", "array_rows = 100", "Hardware.array_rows is 100; choose one of"),
        ("chip.toml", "array_rows = 128.0", "Hardware.array_rows is 128.0"),
        ("chip.toml", "cell_bits = true", "Hardware.cell_bits is True"),
        ("chip.json", '{"adc_bits": null}', "Hardware.adc_bits is None"),
        ("chip.toml", "preset = 'mnsim'\nadc_bits = 10", "up to 8 bits"),
        ("chip.yaml", "array_rows: 64", r"ends in .toml or .json"),
    ],
)
def test_a_mistake_is_named_with_the_file(name: str, text: str, message: str, tmp_path: Path) -> None:
    """A ValueError begins with the file's path and names the option."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        read_chip(path)


def test_the_command_costs_the_file_s_chip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--chip FILE prints that chip alone; an option of the command line stands above the file's."""
    path = tmp_path / "chip.toml"
    path.write_text("preset = 'mnsim'\nadc_bits = 8\ncolumns_per_adc = 4\n")
    main(tyro.cli(Options, args=["--chip", str(path)]))
    own = capsys.readouterr().out
    assert "mnsim:" in own and "isaac32:" not in own
    main(tyro.cli(Options, args=["--chip", str(path), "--hardware.columns-per-adc", "8"]))
    above = capsys.readouterr().out
    main(tyro.cli(Options, args=["--hardware.preset", "mnsim", "--hardware.adc-bits", "8"]))
    assert above == capsys.readouterr().out != own
    assert dataclasses.replace(read_chip(path), columns_per_adc=8) == PRESETS["mnsim"]
