"""Checkpoints: whole or not there, read back on another number of ranks, damage named."""

import json
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchrec import EmbeddingBagConfig

from modules.embeddings import shard_embeddings
from pipeline.run.checkpoint import Checkpoints
from pipeline.run.processes import Processes, join
from pipeline.training.trainee import load_tables

Ranks = Callable[..., list[subprocess.CompletedProcess[str]]]
PROGRESS = {"step": 3, "generator": {"state": 2**100}, "loss_sum": [0.1]}


@pytest.fixture
def processes() -> Iterator[Processes]:
    """A group of one."""
    with join("cpu") as joined:
        yield joined


@pytest.fixture
def checkpoints(tmp_path: Path, processes: Processes) -> Checkpoints:
    """Checkpoints of a stage in a folder that is not there yet."""
    return Checkpoints(tmp_path / "stage", processes)


def tensors(fill: float | None = None) -> dict[str, Any]:
    """Nested tensors as a trainee has them: random, or all of one value."""
    generator = torch.Generator().manual_seed(1)

    def made(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) if fill is None else torch.full(shape, fill)

    return {"dense": {"weight": made(50, 3), "bias": made(3)}, "optimizer": {"weight": made(50, 3)}}


def flat(tree: dict[str, Any]) -> list[Tensor]:
    """The tensors of the tree in order."""
    return [tree["dense"]["weight"], tree["dense"]["bias"], tree["optimizer"]["weight"]]


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_loaded(checkpoints: Checkpoints) -> None:
    """Tensors come back bit for bit, in place, and progress as it was; before the first save there is nothing."""
    assert checkpoints.newest() is None
    checkpoints.save(3, tensors(), PROGRESS)
    newest, found = checkpoints.newest(), tensors(0.0)
    assert newest is not None
    before = flat(found)
    assert checkpoints.load(newest, found) == PROGRESS
    for own, expected in zip(before, flat(tensors()), strict=True):
        assert torch.equal(own, expected)


def test_only_the_newest_is_kept(checkpoints: Checkpoints) -> None:
    """A save drops older checkpoints and partial folders of killed saves; the newest is that of the largest step."""
    for step in (9, 10, 100):
        (checkpoints.folder / "partial_00000007").mkdir(parents=True, exist_ok=True)
        checkpoints.save(step, tensors(), PROGRESS)
        assert names(checkpoints.folder) == [f"step_{step:08d}"]
    newest = checkpoints.newest()
    assert newest is not None and newest.name == "step_00000100"


def test_a_folder_without_checksums_is_no_checkpoint(checkpoints: Checkpoints) -> None:
    """They are written last: a folder without them is passed over for the older, complete one."""
    checkpoints.save(1, tensors(), PROGRESS)
    shutil.copytree(checkpoints.folder / "step_00000001", checkpoints.folder / "step_00000002")
    (checkpoints.folder / "step_00000002" / "checksums.json").unlink()
    newest = checkpoints.newest()
    assert newest is not None and newest.name == "step_00000001"


def flip_a_bit(path: Path) -> None:
    """One bit in the middle of the file."""
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)


def truncate(path: Path) -> None:
    """All but the last byte."""
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, Path.unlink])
@pytest.mark.parametrize("name", ["rank_00000.tensors", "tensors.json", "progress.json"])
def test_damage_is_named(checkpoints: Checkpoints, name: str, damage: Callable[[Path], object]) -> None:
    """A flipped bit, a truncated or a missing file of any kind: a ValueError naming the file and what to do, and no
    tensor has changed."""
    checkpoints.save(1, tensors(), PROGRESS)
    newest = checkpoints.folder / "step_00000001"
    damage(newest / name)
    found = tensors(0.0)
    what = "is missing" if damage is Path.unlink else "has .* expected"
    with pytest.raises(ValueError, match=rf"damaged checkpoint: {newest / name} {what}.*; remove {newest} to start"):
        checkpoints.load(newest, found)
    assert all(not tensor.any() for tensor in flat(found))


@pytest.mark.parametrize(
    ("contents", "message"), [("{", "checksums.json: not JSON at line 1"), ("[]", "not the checksums of a checkpoint")]
)
def test_broken_checksums(checkpoints: Checkpoints, contents: str, message: str) -> None:
    """checksums.json that is no JSON, or something else, is named."""
    checkpoints.save(1, tensors(), PROGRESS)
    newest = checkpoints.folder / "step_00000001"
    (newest / "checksums.json").write_text(contents)
    with pytest.raises(ValueError, match=message):
        checkpoints.load(newest, tensors())


def test_tensors_of_another_model(checkpoints: Checkpoints) -> None:
    """A checkpoint that lacks a tensor of the model, or has it in another shape, says that it is not the model's."""
    checkpoints.save(1, tensors(), PROGRESS)
    newest = checkpoints.folder / "step_00000001"
    for other in ({"dense": {"other": torch.zeros(2)}}, {"dense": {"weight": torch.zeros(49, 3)}}):
        with pytest.raises(ValueError, match=rf"{newest}: not a checkpoint of this model"):
            checkpoints.load(newest, other)


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond the size: the kernel refuses, as it does when a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("rows", "note", "reason"),
    [(10_000, "", "is the disk full"), (1, 30_000 * "x", "File too large")],
    ids=["in the tensors", "in progress.json"],
)
def test_disk_full(checkpoints: Checkpoints, rows: int, note: str, reason: str) -> None:
    """When the disk is full, an OSError says so and what to do; the earlier checkpoint stays, nothing half-written."""
    checkpoints.save(1, tensors(), PROGRESS)
    message = rf"step_00000002: the checkpoint could not be written .*{reason}.* Make room .* the earlier .* is kept"
    with file_size_limit(20_000), pytest.raises(OSError, match=message):
        checkpoints.save(2, {"weight": torch.zeros(rows)}, {"note": note})
    assert names(checkpoints.folder) == ["step_00000001"]
    checkpoints.load(checkpoints.folder / "step_00000001", tensors())


RANK = """
import json, sys
from pathlib import Path
import torch
from torchrec import EmbeddingBagConfig
from modules.embeddings import shard_embeddings
from pipeline.run.checkpoint import Checkpoints
from pipeline.run.processes import join
tables = [EmbeddingBagConfig(name=f"t_{n}", feature_names=[str(n)], num_embeddings=9 + n, embedding_dim=4)
          for n in range(3)]
with join("cpu") as processes:
    sharded = shard_embeddings(tables, processes.device, 8, learning_rate=0.1, epsilon=1e-8, seed=7)
    tensors = {"embeddings": sharded.state_dict(), "embedding_optimizer": sharded.fused_optimizer.state_dict(),
               "dense": {"w": torch.full((3,), 7.0)}}
    checkpoints = Checkpoints(Path(sys.argv[1]), processes)
    checkpoints.save(7, tensors, {"seed": 7})
    own = {name: table.local_shards()[0].tensor.tolist()
           for name, table in tensors["embeddings"].items() if table.local_shards()}
    told = []
    for name in ("rank_00000.tensors", "rank_00001.tensors"):
        damaged = checkpoints.newest() / name
        whole = processes.on_first(damaged.read_bytes)
        processes.on_first(lambda: damaged.write_bytes(whole[:-1]))
        try:
            checkpoints.load(checkpoints.newest(), tensors)
        except ValueError as error:
            told.append(str(error).split(" has")[0])
        processes.on_first(lambda: damaged.write_bytes(whole))
    print(json.dumps([own, told]))
"""


@pytest.mark.slow
def test_saved_on_two_ranks_loaded_on_one(ranks: Ranks, tmp_path: Path) -> None:
    """Sharded tables saved on two ranks come back whole on one. Two ranks share the checking of files; both hear of
    damage that one of them has found."""
    folder = tmp_path / "stage"
    saved = [json.loads(process.stdout.splitlines()[-1]) for process in ranks(2, RANK, str(folder))]
    assert (
        saved[0][1]
        == saved[1][1]
        == [f"damaged checkpoint: {folder}/step_00000007/rank_{n:05d}.tensors" for n in (0, 1)]
    )
    tables = [
        EmbeddingBagConfig(name=f"t_{n}", feature_names=[str(n)], num_embeddings=9 + n, embedding_dim=4)
        for n in range(3)
    ]
    with join("cpu") as processes:
        sharded = shard_embeddings(tables, processes.device, 8, learning_rate=0.1, epsilon=1e-8, seed=8)
        found = {
            "embeddings": sharded.state_dict(),
            "embedding_optimizer": sharded.fused_optimizer.state_dict(),
            "dense": {"w": torch.zeros(3)},
        }
        checkpoints = Checkpoints(folder, processes)
        assert checkpoints.load(folder / "step_00000007", found) == {"seed": 7}
        load_tables(sharded, found)
        whole = {name: table.local_shards()[0].tensor.tolist() for name, table in sharded.state_dict().items()}
    assert whole == {**saved[0][0], **saved[1][0]} and len(whole) == 3
    assert min(len(part[0]) for part in saved) == 1
    assert found["dense"]["w"].tolist() == [7.0] * 3
