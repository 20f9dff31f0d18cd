"""Architectures that a user brings as files: this project's JSON, or the authors' (facebookresearch/NasRec)."""

from collections.abc import Sequence
from pathlib import Path

from modules.space import Architecture, SearchSpace, from_nasrec_json
from pipeline.run.files import read_json
from pipeline.run.records.codec import from_plain


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
    if not isinstance(data, dict) or "micro" not in data:
        return from_plain(data, Architecture, path, space, "give the JSON file of an architecture of this space")
    try:
        architecture = from_nasrec_json(data)
        space.check(architecture)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return architecture
