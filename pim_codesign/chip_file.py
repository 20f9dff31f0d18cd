"""A chip of one's own: options in a TOML or JSON file, read strictly.

    # chip.toml
    preset = "mnsim"        # whose constants hold where nothing else is said
    array_rows = 256
    columns_per_adc = 4

Names and choices are those of `Hardware`; what a file does not set is the preset's or follows, as on the command line.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

from pim_codesign.hardware import PRESETS, Hardware
from pim_codesign.options import check_choice, options_of
from pim_codesign.overrides import with_options


def read_chip_options(path: Path) -> dict[str, Any]:
    """The options that a .toml or .json file sets, by name.

    Raises ValueError, with the file and the option, for another kind of file, what cannot be read, a name that is no
    option, one that stands there twice, and a value that is no choice; OSError where the file cannot be opened.
    """
    text = path.read_text(encoding="utf-8")
    try:
        match path.suffix:
            case ".toml":
                found: Any = tomllib.loads(text)
            case ".json":
                found = json.loads(text, object_pairs_hook=_each_once)
            case _:
                raise ValueError("a chip's file ends in .toml or .json")
        if not isinstance(found, dict):
            raise ValueError(f"it holds {found!r}; give options by name, for example array_rows")
        options = options_of(Hardware)
        for name, value in found.items():
            if name not in options:
                raise ValueError(f"{name!r} is no option of a chip; there are {list(options)}")
            check_choice(Hardware, name, value)
    except ValueError as error:  # those of both readers are ValueErrors
        raise ValueError(f"{path}: {error}") from error
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} stands there {names.count(name)} times; give it once")
    return dict(pairs)


def read_chip(path: Path) -> Hardware:
    """The chip of a file: its preset's (isaac32 where it names none) with its options, and what follows from them.

    Raises ValueError as `read_chip_options` and `with_options` do, with the file.
    """
    given = read_chip_options(path)
    try:
        return with_options(PRESETS[given.get("preset", "isaac32")], given)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
