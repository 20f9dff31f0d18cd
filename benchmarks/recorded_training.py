"""The project's trainer with a record of every row that its streams deliver: what terabyte_rehearsal.py trains with.

    python -m benchmarks.recorded_training --prepared FOLDER --run FOLDER [--train_one_in 8]

DLRM is trained on days 0 to 22 of a prepared log, validated and tested on the halves of the last. The train stream is
read whole; one batch in so many is trained on, so that a rehearsal of many rows ends on a small machine. A 64-bit
key of each row delivered goes to one file per checkpoint, so that rows of steps undone by a kill are not counted.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tyro

from modules.space.handmade import handmade
from pipeline.config import RetrainConfig, RunConfig
from pipeline.data import Batch, DataConfig, Dataset, Stream
from pipeline.run.files import atomic_write, write_json
from pipeline.run.processes import join
from pipeline.run.records.codec import to_plain
from pipeline.run.records.recipe import Recipe
from pipeline.session import open_session
from pipeline.training.standalone import build, train_standalone

_FACTOR, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)


def row_keys(columns: list[npt.NDArray[Any]]) -> npt.NDArray[np.uint64]:
    """64 bits for each row [n] of columns of 32 bits each, each [n]."""
    keys = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        keys ^= np.ascontiguousarray(column).view(np.uint32)
        keys *= _FACTOR
        keys ^= keys >> _SHIFT
    return keys


def batch_keys(batch: Batch) -> npt.NDArray[np.uint64]:
    """Of a batch's rows: label, dense inputs, ids."""
    dense, ids = batch.dense.numpy(), batch.ids.numpy().astype(np.int32)  # [B, I], [B, F]
    return row_keys([batch.label.numpy(), *dense.T, *ids.T])


class RecordedStream:
    """A stream that records the rows it reads and delivers one batch in `one_in`."""

    def __init__(self, stream: Stream, folder: Path, one_in: int) -> None:
        self._stream, self._folder, self._one_in = stream, folder, one_in
        self._start: int | None = None
        self._keys: list[npt.NDArray[np.uint64]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        return -(-len(self._stream) // self._one_in)

    def __iter__(self) -> "RecordedStream":
        return self

    def __next__(self) -> Batch:
        self._begin()
        batches = []
        for _ in range(self._one_in):
            try:
                batches.append(next(self._stream))
            except StopIteration:
                break
            self._keys.append(batch_keys(batches[-1]))
        if not batches:
            self._write()
            raise StopIteration
        return batches[0]

    def state_dict(self) -> dict[str, Any]:
        """Called for every checkpoint: the rows so far are written first."""
        self._write()
        return self._stream.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The stream's own."""
        self._stream.load_state_dict(state)

    def _begin(self) -> None:
        """What an earlier process recorded behind this position was undone with it."""
        if self._start is None:
            self._start = self._stream.batches
            for path in self._folder.glob("*.npy"):
                if int(path.stem) >= self._start:
                    path.unlink()

    def _write(self) -> None:
        if self._keys:
            with atomic_write(self._folder / f"{self._start:09}.npy") as handle:
                np.save(handle, np.concatenate(self._keys))
            self._start, self._keys = self._stream.batches, []


class RecordedDataset:
    """A data set whose streams are recorded."""

    def __init__(self, dataset: Dataset, folder: Path, train_one_in: int) -> None:
        self._dataset, self._folder, self._train_one_in = dataset, folder, train_one_in

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def stream(self, split: str, *arguments: Any, **options: Any) -> RecordedStream:
        """The split's stream; of the train split one batch in so many is trained on."""
        stream = self._dataset.stream(split, *arguments, **options)
        return RecordedStream(stream, self._folder / split, self._train_one_in if split == "train" else 1)


@dataclasses.dataclass(frozen=True)
class RecordedConfig:
    """What is trained."""

    prepared: str
    """Folder of `python -m pipeline.data.prepare`."""
    run: str
    """Folder of this training; the same command resumes it."""
    train_one_in: int = 8
    """Batches delivered per batch that is trained on, 1 or more."""
    batch_size: int = 4096
    """Rows per batch."""
    checkpoint_every: int = 20
    """Trained batches between checkpoints."""


def train(config: RecordedConfig) -> None:
    """Train to the end, from the last checkpoint if there is one; writes outcome.json."""
    home = Path(config.run)
    run_config = RunConfig(
        run="rehearsal",
        runs=str(home / "runs"),
        device="cpu",
        data=DataConfig(path=config.prepared, split="mlperf_days", max_table_rows=2**31 - 1),
        retrain=RetrainConfig(checkpoint_every=config.checkpoint_every, log_every=config.checkpoint_every),
    )
    started = time.monotonic()
    with join("cpu") as processes, open_session(run_config, processes) as session:
        recorded = RecordedDataset(session.dataset, home / "rows", config.train_one_in)
        session = dataclasses.replace(session, dataset=recorded)  # type: ignore[arg-type]
        recipe = Recipe(batch_size=config.batch_size, embedding_width=session.shape.embedding_width)
        trained = train_standalone(build(session, "handmade", "dlrm", handmade("dlrm", session.shape), recipe))
    outcome = {**to_plain(trained.metrics), "seconds": time.monotonic() - started}
    write_json(home / "outcome.json", outcome)


if __name__ == "__main__":
    train(tyro.cli(RecordedConfig, description=__doc__))
