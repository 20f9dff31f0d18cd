"""The tensors of a checkpoint as files that hold numbers and nothing else, for torch.distributed.checkpoint (DCP).

DCP decides which rank writes what, and what each reads of it on another number of ranks. Its own files are pickles, and
a pickle can be a program: `.metadata` is unpickled as it is. Here a rank's tensors lie as raw bytes, one after the
other, in a file of its own, and tensors.json says which piece of which tensor lies where. Nothing that reads them can
run code.

    rank_00000.tensors      raw bytes, in the machine's byte order
    tensors.json            SavedTensors
"""

import math
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from operator import gt
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor
from torch.distributed._shard._utils import narrow_tensor_by_index
from torch.distributed.checkpoint import DefaultLoadPlanner, StorageReader, StorageWriter
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import (
    LoadItemType,
    LoadPlan,
    LoadPlanner,
    ReadItem,
    SavePlan,
    SavePlanner,
    WriteItemType,
)
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from pipeline.run.records.codec import read_record, write_record

INDEX = "tensors.json"
READ_BYTES = 1 << 26
"""Of a piece that are in memory together, beside where they are read into."""
CHUNK_BYTES = 1 << 22
"""How much is written and summed at a time."""
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float64, torch.float32, torch.bfloat16, torch.float16),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    )
}
"""Types of numbers that a file may hold, by name."""


@dataclass(frozen=True)
class Piece:
    """A box of a tensor, and where it lies."""

    offsets: tuple[int, ...]
    """Its first index in each dimension."""
    sizes: tuple[int, ...]
    """Its extent in each dimension."""
    file: str
    """Name of the file, in the same folder."""
    first_byte: int
    """Where it begins in the file."""
    bytes: int
    """How long it is there."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"rank_\d{5}\.tensors", self.file):
            raise ValueError(
                f"field 'file': found {self.file!r}, expected the name of a file such as rank_00000.tensors"
            )
        if min((0, self.first_byte, self.bytes, *self.offsets, *self.sizes)) < 0:
            raise ValueError(f"a piece has a number below 0: {self}")


@dataclass(frozen=True)
class SavedTensor:
    """A tensor in its pieces."""

    dtype: str
    """One of DTYPES."""
    size: tuple[int, ...]
    """Its extent in each dimension."""
    pieces: tuple[Piece, ...]
    """They cover it, each on a rank that held it."""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"field 'dtype': found {self.dtype!r}, expected one of {sorted(DTYPES)}")
        for piece in self.pieces:
            if piece.bytes != math.prod(piece.sizes) * DTYPES[self.dtype].itemsize:
                raise ValueError(f"{piece} has not the bytes of its sizes in {self.dtype}")
            ends = [first + extent for first, extent in zip(piece.offsets, piece.sizes, strict=False)]
            if len(piece.offsets) != len(piece.sizes) or len(ends) != len(self.size) or any(map(gt, ends, self.size)):
                raise ValueError(f"{piece} lies outside of {list(self.size)}")
        if sum(math.prod(piece.sizes) for piece in self.pieces) != math.prod(self.size):
            raise ValueError(f"the pieces {self.pieces} do not cover {list(self.size)}")


@dataclass(frozen=True)
class SavedTensors:
    """tensors.json."""

    byte_order: str
    """little or big."""
    tensors: dict[str, SavedTensor]
    """By DCP's names: the keys of the nested state, joined by dots."""


@dataclass(frozen=True)
class FileSum:
    """A file that a rank wrote."""

    bytes: int
    """Its length."""
    crc32: int
    """CRC-32 of its contents, taken from what was written."""


@dataclass(frozen=True)
class _Place:
    """Where a written piece lies, and the sum of its file."""

    piece: Piece
    file: FileSum


class TensorWriter(StorageWriter):
    """Writes a checkpoint's tensors into a new folder.

    On rank 0, `begin()` makes the folder and `finish(sums)` completes it, with the sum of every file that a rank wrote.
    What either raises is raised on every rank.
    """

    def __init__(self, folder: Path, begin: Callable[[], None], finish: Callable[[dict[str, FileSum]], None]) -> None:
        self.folder, self._begin, self._finish = folder, begin, finish

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """DCP's call before a save."""

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """DCP's call before planning."""

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """This rank's part, unchanged."""
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """On rank 0, before any rank writes: every rank has a file of its own."""
        self._begin()
        return [replace(plan, storage_data=f"rank_{rank:05d}.tensors") for rank, plan in enumerate(plans)]

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Write this rank's tensors one after the other, and flush them to the disk."""
        pieces: list[tuple[MetadataIndex, Piece]] = []
        if plan.items:
            with SummedFile(self.folder / plan.storage_data) as file:
                for item in plan.items:
                    if item.type == WriteItemType.BYTE_IO or item.tensor_data is None:
                        raise ValueError(f"{item.index.fqn} is no tensor; a checkpoint's state holds tensors only")
                    first, tensor = file.bytes, planner.resolve_data(item)
                    assert isinstance(tensor, Tensor)
                    file.write(tensor)
                    chunk = item.tensor_data.chunk
                    place = (plan.storage_data, first, file.bytes - first)
                    pieces.append((item.index, Piece(tuple(chunk.offsets), tuple(chunk.sizes), *place)))
            total = FileSum(file.bytes, file.crc32)
        written: Future[list[WriteResult]] = Future()
        written.set_result([WriteResult(index, piece.bytes, _Place(piece, total)) for index, piece in pieces])
        return written

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """On rank 0: write tensors.json, and go on to what completes the checkpoint."""
        pieces: dict[str, list[Piece]] = {}
        places: Iterable[tuple[MetadataIndex, _Place]] = (
            (result.index, result.storage_data) for part in results for result in part
        )
        sums = {}
        for index, place in places:
            pieces.setdefault(index.fqn, []).append(place.piece)
            sums[place.piece.file] = place.file
        tensors = {}
        for name, found in metadata.state_dict_metadata.items():
            assert isinstance(found, TensorStorageMetadata)
            dtype = str(found.properties.dtype).removeprefix("torch.")
            tensors[name] = SavedTensor(dtype, tuple(found.size), tuple(pieces[name]))
        write_record(self.folder / INDEX, SavedTensors(sys.byteorder, tensors))
        self._finish(sums)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Never asked for by name."""
        return False


class SummedFile:
    """A file for tensors, with the sum of what was written into it."""

    def __init__(self, path: Path) -> None:
        self._file, self.bytes, self.crc32 = path.open("wb"), 0, 0

    def write(self, tensor: Tensor) -> None:
        """Append a tensor's numbers."""
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        whole = flat.numpy().data
        for first in range(0, len(whole), CHUNK_BYTES):
            chunk = whole[first : first + CHUNK_BYTES]
            self._file.write(chunk)
            self.crc32, self.bytes = zlib.crc32(chunk, self.crc32), self.bytes + len(chunk)

    def __enter__(self) -> "SummedFile":
        """For `with`."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Flush to the disk and close; a disk that is full says so here at the latest."""
        with self._file as file:
            if kind is None:
                file.flush()
                os.fsync(file.fileno())


class TensorReader(StorageReader):
    """Reads what TensorWriter wrote. Raises ValueError naming what is no such file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pieces: dict[MetadataIndex, tuple[Piece, torch.dtype]] = {}

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """DCP's call before a load."""

    def read_metadata(self) -> Metadata:  # with further arguments, DCP would ask again for another kind of file
        """What tensors.json says, as DCP wants it."""
        found = read_record(self.folder / INDEX, SavedTensors)
        if found.byte_order != sys.byteorder:
            raise ValueError(f"{self.folder / INDEX}: written on a machine of another byte order, {found.byte_order}")
        tensors: dict[str, Any] = {}
        for name, saved in found.tensors.items():
            dtype, chunks = DTYPES[saved.dtype], []
            for piece in saved.pieces:
                chunk = ChunkStorageMetadata(torch.Size(piece.offsets), torch.Size(piece.sizes))
                self._pieces[MetadataIndex(name, chunk.offsets)] = (piece, dtype)
                chunks.append(chunk)
            tensors[name] = TensorStorageMetadata(TensorProperties(dtype), torch.Size(saved.size), chunks)
        return Metadata(tensors)

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """DCP's call after rank 0 has planned. Every rank reads the index for itself."""
        if not self._pieces:
            self.read_metadata()

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """This rank's part, unchanged."""
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """All parts, unchanged."""
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Read each wanted piece into the tensor that it is for."""
        by_file: dict[str, list[tuple[ReadItem, Piece, torch.dtype]]] = {}
        for item in plan.items:
            piece, dtype = self._pieces[item.storage_index]
            by_file.setdefault(piece.file, []).append((item, piece, dtype))
        for name, items in by_file.items():
            with (self.folder / name).open("rb") as file:
                for item, piece, dtype in sorted(items, key=lambda one: one[1].first_byte):
                    target = planner.resolve_tensor(item).detach()
                    _read_into(target, file, piece, dtype, item)
                    planner.commit_tensor(item, target)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Never asked for by name."""
        return False


def _read_into(target: Tensor, file: IO[bytes], piece: Piece, dtype: torch.dtype, item: ReadItem) -> None:
    """Read what is wanted of a piece, some rows at a time: a table may be larger than what is left of the memory."""
    if not piece.sizes or not target.dim():
        target.copy_(_rows(file, piece, dtype, 0, None).reshape(target.shape))
        return
    row_bytes = piece.bytes // max(piece.sizes[0], 1)
    step = max(1, READ_BYTES // max(row_bytes, 1))
    first_row, rows = int(item.storage_offsets[0]), int(item.lengths[0])
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        found = _rows(file, piece, dtype, first_row + start, first_row + stop)
        offsets, lengths = (0, *item.storage_offsets[1:]), (stop - start, *item.lengths[1:])
        target[start:stop].copy_(narrow_tensor_by_index(found, offsets, lengths))


def _rows(file: IO[bytes], piece: Piece, dtype: torch.dtype, start: int, stop: int | None) -> Tensor:
    """Rows of a piece; None: all of it."""
    rows = piece.sizes[0] if piece.sizes else 1
    row_bytes, stop = piece.bytes // max(rows, 1), rows if stop is None else stop
    file.seek(piece.first_byte + start * row_bytes)
    contents = bytearray(file.read((stop - start) * row_bytes))
    if len(contents) != (stop - start) * row_bytes:
        raise ValueError(f"{file.name}: ends before byte {piece.first_byte + piece.bytes}; the file was cut")
    flat = torch.frombuffer(contents, dtype=dtype) if contents else torch.empty(0, dtype=dtype)
    return flat.reshape(stop - start, *piece.sizes[1:])


class TensorsOnly(DefaultLoadPlanner):
    """DCP's planner without its way to objects: it would unpickle them."""

    def load_bytes(self, read_item: ReadItem, value: Any) -> None:
        """Refuse. Raises ValueError naming what was to be loaded as an object."""
        raise ValueError(f"{read_item.dest_index.fqn} is no tensor; a checkpoint holds tensors only")

    def create_local_plan(self) -> LoadPlan:
        """The default plan. Raises ValueError naming what is no tensor."""
        plan: LoadPlan = super().create_local_plan()
        for item in plan.items:
            if item.type == LoadItemType.BYTE_IO:
                self.load_bytes(item, None)
        return plan
