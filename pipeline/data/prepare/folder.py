"""What one preparation reads, and the folder that is its own: the same settings resume it, others are refused."""

from pathlib import Path
from typing import Any

from pipeline.data.formats.all_formats import find_files
from pipeline.data.formats.text import TEXT
from pipeline.data.formats.text_files import check_same_times, inspect_file
from pipeline.data.prepare.config import PrepareConfig
from pipeline.data.schema import Schema
from pipeline.data.storage.paths import COMPRESSIONS, check_same_columns, file_size
from pipeline.run.files import read_json, write_json

_VERSION = 3


def raw_files(path: str) -> list[str]:
    """The raw text files under a path; files of another format are a ValueError."""
    files, kind = find_files(path)
    if kind is not TEXT:
        raise ValueError(f"{files[0]}: is {kind.name}, which can be trained on as it is; prepare reads raw text")
    return files


def target_names(files: list[str]) -> list[str]:
    """Each file's name without its suffixes; two that would be the same are a ValueError."""
    names: dict[str, str] = {}
    for file in files:
        path = Path(file)
        path = path.with_suffix("") if path.suffix in COMPRESSIONS else path
        name = path.stem if path.suffix else path.name
        if name in names:
            raise ValueError(f"{file} and {names[name]} would both become {name}-00000.parquet; rename one of them")
        names[name] = file
    return list(names)


def settings_of(config: PrepareConfig, schema: Schema, files: list[str]) -> dict[str, Any]:
    """What the results depend on."""
    first = inspect_file(files[0], schema)
    for path in files:
        file = inspect_file(path, schema)
        check_same_columns(path, list(file.columns), first.path, list(first.columns))
        check_same_times(file, first)
    return {
        "version": _VERSION,
        "schema": schema.to_json(),
        "numbering": config.numbering,
        "min_count": config.min_count,
        "max_table_rows": config.max_table_rows,
        "sources": [{"path": file, "bytes": file_size(file)} for file in files],
    }


def claim(folder: Path, settings: dict[str, Any]) -> bool:
    """Makes the folder this preparation's; returns whether it is finished. Somebody else's folder is a ValueError."""
    manifest, begun = folder / "manifest.json", folder / "work" / "settings.json"
    # Looked at before the settings: what another replica has made by now, it has made after them.
    others = sorted({file.name for file in folder.iterdir()} - {"work"}) if folder.is_dir() else []
    if begun.exists():
        _check_same_settings(folder, read_json(begun), settings)
    elif manifest.exists():
        _check_same_settings(folder, read_json(manifest).get("settings"), settings)
    elif others:
        raise ValueError(f"{folder}: holds {others[:3]}, which are not of a preparation; give a new folder")
    if manifest.exists():
        return True
    for name in ("counts", "index", "parts", "quarantine", "sizes", "distinct", "failures"):
        (folder / "work" / name).mkdir(parents=True, exist_ok=True)
    if not begun.exists():
        write_json(begun, settings)
    if settings["numbering"] == "vocabulary":
        (folder / "vocabulary").mkdir(exist_ok=True)
    return False


def _check_same_settings(folder: Path, found: Any, settings: dict[str, Any]) -> None:
    if found == settings:
        return
    old = found if isinstance(found, dict) else {}
    different = [key for key in settings if old.get(key) != settings[key]]
    raise ValueError(
        f"{folder}: was prepared or begun with other {' and '.join(different)}; give a new folder, or the same settings"
    )
