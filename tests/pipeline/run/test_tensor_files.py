"""A checkpoint's files hold numbers only: what is planted in them is refused by name, and nothing runs."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor

from pipeline.run.checkpoint import Checkpoints, _checksum
from pipeline.run.processes import Processes, join
from pipeline.run.tensor_files import DTYPES, INDEX, TensorReader, TensorsOnly, TensorWriter

WEIGHT = torch.arange(12.0).reshape(3, 4)


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.made}",)


@pytest.fixture
def processes() -> Iterator[Processes]:
    """A group of one."""
    with join("cpu") as joined:
        yield joined


@pytest.fixture
def checkpoint(tmp_path: Path, processes: Processes) -> Path:
    """A complete checkpoint of one tensor."""
    Checkpoints(tmp_path / "stage", processes).save(1, {"dense": {"weight": WEIGHT}}, {"step": 1})
    return tmp_path / "stage" / "step_00000001"


def seal(checkpoint: Path) -> None:
    """Checksums that fit what lies there: who plants a file writes them too."""
    names = [path.name for path in checkpoint.iterdir() if path.name != "checksums.json"]
    (checkpoint / "checksums.json").write_text(json.dumps({name: _checksum(checkpoint / name) for name in names}))


def load(checkpoint: Path, processes: Processes) -> Tensor:
    """The tensor, read as the product reads it."""
    found = torch.zeros(3, 4)
    Checkpoints(checkpoint.parent, processes).load(checkpoint, {"dense": {"weight": found}})
    return found


def pickled(made: Path) -> bytes:
    """What DCP's own reader executes."""
    return pickle.dumps(Payload(made))


def saved_by_torch(made: Path) -> bytes:
    """What torch.load executes without weights_only."""
    buffer = io.BytesIO()
    torch.save(Payload(made), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("contents", [pickled, saved_by_torch])
@pytest.mark.parametrize("name", [".metadata", INDEX, "rank_00000.tensors", "progress.json", "checksums.json"])
def test_a_planted_payload_does_not_run(
    checkpoint: Path, processes: Processes, tmp_path: Path, name: str, contents: Callable[[Path], bytes]
) -> None:
    """A pickle in place of any file of a checkpoint, or DCP's own .metadata beside them, sealed with checksums that
    fit: it is not executed; the checkpoint is refused by name, or the stray file is not read at all."""
    made = tmp_path / "made"
    planted = contents(made)
    if name == "rank_00000.tensors":
        planted = planted[:48].ljust(48, b"\0")  # as long as the numbers it stands for
    (checkpoint / name).write_bytes(planted)
    if name != "checksums.json":
        seal(checkpoint)
    if name == ".metadata":
        assert torch.equal(load(checkpoint, processes), WEIGHT)
    elif name != "rank_00000.tensors":  # any bytes are numbers
        with pytest.raises(ValueError, match=str(checkpoint)):
            load(checkpoint, processes)
    else:
        (checkpoint / name).write_bytes(contents(made))
        seal(checkpoint)
        load(checkpoint, processes)
    assert not made.exists()


def test_the_payload_would_run(tmp_path: Path) -> None:
    """The control: both forms execute where they are unpickled."""
    for number, contents in enumerate((pickled, saved_by_torch)):
        made = tmp_path / f"made_{number}"
        if contents is pickled:
            pickle.loads(contents(made))
        else:
            torch.load(io.BytesIO(contents(made)), weights_only=False)
        assert made.exists()
    assert zipfile.is_zipfile(io.BytesIO(saved_by_torch(tmp_path / "none")))


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "outside": ({"file": "../../secret"}, "found '../../secret', expected the name of a file"),
    "absolute": ({"file": "/etc/passwd"}, "found '/etc/passwd', expected the name of a file"),
    "another file": ({"file": "progress.json"}, "expected the name of a file such as"),
    "short": ({"bytes": 4}, "has not the bytes of its sizes"),
    "behind the end": ({"first_byte": 40}, "ends before byte 88; the file was cut"),
    "negative": ({"first_byte": -4}, "a number below 0"),
    "other sizes": ({"sizes": [4, 3]}, r"lies outside of \[3, 4\]"),
    "other dimensions": ({"sizes": [12], "offsets": [0]}, r"lies outside of \[3, 4\]"),
    "a part": ({"sizes": [2, 4], "bytes": 32}, r"do not cover \[3, 4\]"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_planted_index(checkpoint: Path, processes: Processes, case: str) -> None:
    """tensors.json that names a file outside the folder, or places that do not fit, is refused, saying which."""
    change, message = BROKEN[case]
    document = json.loads((checkpoint / INDEX).read_text())
    document["tensors"]["dense.weight"]["pieces"][0].update(change)
    (checkpoint / INDEX).write_text(json.dumps(document))
    seal(checkpoint)
    with pytest.raises(ValueError, match=message):
        load(checkpoint, processes)


@pytest.mark.parametrize("change", [{"dtype": "object"}, {"dtype": "__class__"}, {"size": [1, 4]}])
def test_a_planted_tensor(checkpoint: Path, processes: Processes, change: dict[str, Any]) -> None:
    """A type that is none of the numbers', or another size, is refused."""
    document = json.loads((checkpoint / INDEX).read_text())
    document["tensors"]["dense.weight"].update(change)
    (checkpoint / INDEX).write_text(json.dumps(document))
    seal(checkpoint)
    with pytest.raises(ValueError, match="not a checkpoint of this model"):
        load(checkpoint, processes)


def test_objects_are_neither_written_nor_read(tmp_path: Path, processes: Processes) -> None:
    """DCP would pickle what is no tensor; here it is an error, on the way out and on the way in."""
    with pytest.raises(OSError, match="note is no tensor"):
        Checkpoints(tmp_path / "stage", processes).save(1, {"note": "text"}, {})
    planner = TensorsOnly()
    with pytest.raises(ValueError, match="note is no tensor; a checkpoint holds tensors only"):
        planner.load_bytes(type("Item", (), {"dest_index": type("Index", (), {"fqn": "note"})})(), io.BytesIO())


@pytest.mark.parametrize("dtype", list(DTYPES.values()))
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 5), (2, 0, 3)])
def test_every_type_of_number(tmp_path: Path, processes: Processes, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    """Every type and shape comes back bit for bit, views that are not contiguous among them."""
    generator = torch.Generator().manual_seed(1)
    tensor = (100 * torch.rand(shape, generator=generator)).to(dtype)
    tensors = {"a": tensor, "b": tensor.expand(2, *shape).transpose(0, -1)}
    folder = tmp_path / "tensors"
    sums: dict[str, Any] = {}
    dcp.save(tensors, storage_writer=TensorWriter(folder, folder.mkdir, sums.update))
    found = {name: torch.empty_like(value).contiguous() for name, value in tensors.items()}
    dcp.load(found, storage_reader=TensorReader(folder), planner=TensorsOnly())
    assert all(torch.equal(found[name], value) for name, value in tensors.items())
    (written,) = sums
    assert _checksum(folder / written) == {"bytes": sums[written].bytes, "crc32": sums[written].crc32}
