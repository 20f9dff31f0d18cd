"""The units of a text file: blocks of lines, found by one pass over it, which is remembered."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.data.formats.text import damaged, decompressed
from pipeline.data.schema import Schema
from pipeline.data.storage.paths import file_size
from pipeline.run.files import read_json, write_json

logger = logging.getLogger(__name__)

UNIT_BYTES = 32 * 2**20
"""Text of a unit: 130,000 rows of Criteo, which are shuffled among each other."""
LINE_END = ord("\n")
_COUNTED_BYTES = 2**18
"""Stays in the processor's cache."""
_VERSION = 1


def line_counts(path: str, schema: Schema, folder: Path) -> list[tuple[int, int]]:
    """Where each unit of the decompressed text stops, at the end of a line, and its rows.

    One pass counts them; the folder remembers it as long as the file stays the same. A cut or empty file is a
    ValueError.
    """
    local = Path(path)
    source: dict[str, Any] = {
        "version": _VERSION,
        "path": str(local.absolute()) if local.exists() else path,
        "bytes": file_size(path),
        "modified_ns": local.stat().st_mtime_ns if local.exists() else None,
        "header": not schema.columns,
        "unit_bytes": UNIT_BYTES,
    }
    key = hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()[:16]
    remembered = folder / f"{key}.json"
    if remembered.exists():
        found = read_json(remembered)
        if found["source"] == source:
            return [(stop, rows) for stop, rows in found["units"]]
    logger.info("counting the lines of %s", path)
    units = _count(path, header=not schema.columns)
    write_json(remembered, {"source": source, "units": units})
    return units


def _count(path: str, header: bool) -> list[tuple[int, int]]:
    """A unit ends with the first line that ends UNIT_BYTES or more behind the unit's first byte."""
    units: list[tuple[int, int]] = []
    place = start = rows = 0  # of the unit being filled: its first byte and its rows so far
    block, last = np.empty(_COUNTED_BYTES, np.uint8), LINE_END
    try:
        with decompressed(path) as stream:
            while size := stream.readinto(memoryview(block)):  # type: ignore[arg-type]  # numpy's stubs
                is_end = block[:size] == LINE_END
                if place + size < start + UNIT_BYTES:  # as nearly always
                    rows += int(np.count_nonzero(is_end))
                else:
                    stops = place + 1 + np.flatnonzero(is_end)  # behind each line
                    counted = 0
                    while (cut := int(np.searchsorted(stops, start + UNIT_BYTES))) < len(stops):
                        units.append((int(stops[cut]), rows + cut + 1 - counted))
                        start, rows, counted = int(stops[cut]), 0, cut + 1
                    rows += len(stops) - counted
                place, last = place + size, int(block[size - 1])
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error
    if place > start:
        units.append((place, rows + (last != LINE_END)))
    if units and header:
        units[0] = (units[0][0], units[0][1] - 1)
    units = [unit for unit in units if unit[1]]
    if not units:
        raise ValueError(f"{path}: holds no rows; remove the file or write it again")
    return units
