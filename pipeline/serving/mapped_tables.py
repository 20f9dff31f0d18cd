"""Tables that need not fit in a process's memory: they lie in files, of which the system keeps in memory what is used.

While a model is exported its tables are filled in a file without a name beside the export (`scratch_tensor`). With
`--export.mapped` they are then written to model.tables, numbers alone, and whoever serves the model maps that file:

    model = torch.jit.load("model.pt")
    model.map_tables("model.tables")

Processes that map the same file share its pages. Without it a table is part of model.pt, model.pt2 and model.onnx, and
whoever loads one of these has all of it in memory of its own.
"""

import mmap
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

TABLES_FILE = "model.tables"
"""Beside model.pt."""
_CHUNK_BYTES = 1 << 26


def scratch_tensor(rows: int, width: int, folder: Path) -> Tensor:
    """[rows, width] float32 zeros in a file of `folder` that has no name: it is gone when the tensor is, however the
    process ends. A disk without room for it is an OSError."""
    if not rows * width:
        return torch.zeros(rows, width)
    with tempfile.TemporaryFile(dir=folder) as handle:
        os.posix_fallocate(handle.fileno(), 0, 4 * rows * width)  # a full disk is an error here, not a signal later
        memory = mmap.mmap(handle.fileno(), 4 * rows * width)
    return torch.frombuffer(memory, dtype=torch.float32).view(rows, width)


def scratch_tables(shapes: Mapping[str, tuple[int, int]], folder: Path) -> dict[str, Tensor]:
    """Tables of these shapes one behind the other in one such file.

    >>> tables = scratch_tables({"a": (2, 3), "b": (1, 2)}, Path("/tmp"))
    >>> [tuple(table.shape) for table in tables.values()], side_by_side(list(tables.values()), 1).shape
    ([(2, 3), (1, 2)], torch.Size([8, 1]))
    """
    numbers = [rows * width for rows, width in shapes.values()]
    parts = scratch_tensor(sum(numbers), 1, folder).flatten().split(numbers)
    return {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def side_by_side(tables: list[Tensor], width: int) -> Tensor | None:
    """All numbers of tables that lie one behind the other in one memory, as rows of `width`; None where they do not."""
    tables = [table for table in tables if table.numel()]
    if not tables:
        return None
    place = tables[0].data_ptr()
    for table in tables:
        if table.dtype != torch.float32 or not table.is_contiguous() or table.data_ptr() != place:
            return None
        place += 4 * table.numel()
    numbers = sum(table.numel() for table in tables)
    first = tables[0]
    if first.storage_offset() * 4 + 4 * numbers > first.untyped_storage().nbytes():
        return None
    return first.detach().as_strided((numbers // width, width), (width, 1))


def write_tables(embeddings: Tensor, path: Path) -> None:
    """Write a matrix's numbers, row after row, some at a time; they are on the disk when this returns."""
    flat = embeddings.contiguous().reshape(-1).view(torch.uint8)
    with path.open("wb") as file:
        for part in flat.split(_CHUNK_BYTES):
            file.write(part.numpy().data)
        file.flush()
        os.fsync(file.fileno())
