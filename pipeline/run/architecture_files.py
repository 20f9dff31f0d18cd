"""Architectures that a user brings as files: this project's JSON, or the authors' (facebookresearch/NasRec).

pipeline/nasrec_file.py writes the authors'.
"""

from collections.abc import Sequence
from pathlib import Path

from modules.space import Architecture, SearchSpace, from_nasrec_json
from modules.space.nasrec import NASREC_CONFIGS
from pipeline.run.files import read_json
from pipeline.run.records.codec import from_plain

NASREC_KEYS = {"micro", "macro"}
"""A file with either key is meant to be one of the authors'."""


def read_architectures(paths: Sequence[str], space: SearchSpace) -> dict[str, Architecture]:
    """Architectures by their files' names, which must differ.

    Raises ValueError naming file, block and field when one cannot be read or lies outside the space.
    """
    found: dict[str, Architecture] = {}
    for path in paths:
        name = Path(path).stem
        if name in found:
            raise ValueError(f"{path}: another architecture file is called {name} too; give each a name of its own")
        found[name] = read_architecture(path, space)
    return found


def read_architecture(path: str, space: SearchSpace) -> Architecture:
    """The architecture in a file. Raises ValueError naming file, block and field."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file; give the JSON file of an architecture")
    data = read_json(path)
    if not isinstance(data, dict) or not NASREC_KEYS & data.keys():
        return from_plain(data, Architecture, path, space, "give the JSON file of an architecture of this space")
    try:
        architecture = from_nasrec_json(data, searched=True)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    try:
        space.check(architecture)
    except ValueError as error:
        own = NASREC_CONFIGS[data["config"]].space.name
        raise ValueError(
            f"{path}: config: found {data['config']!r}, whose architectures are of --model.space {own}; "
            f"this run searches {space.name}, and {error}"
        ) from error
    return architecture
