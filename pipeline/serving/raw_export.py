"""What is written beside model.pt so that a server can feed it raw rows: raw_rows.py, vocabulary.bin and examples.

The encoder is tried on rows of the test split, as the log has them, before it is called exported: it has to find what
training's stream made of them.

C columns of ids, I dense inputs, r rows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from pipeline.data import Dataset
from pipeline.data.prepare.vocabulary import category_keys
from pipeline.data.storage.paths import open_binary
from pipeline.run.files import atomic_write, sha256
from pipeline.run.records.model_card import ExportedFile, ModelFile, RawExample, RawRowsCard
from pipeline.serving import raw_rows

CODE, VOCABULARY = "raw_rows.py", "vocabulary.bin"
TRIED_ROWS = 512
"""Test rows on which the encoder is tried."""
EXAMPLES = 4
"""Of them, those that model.json holds."""
TOLERANCE = 1e-6
"""Largest difference in a dense input: the logarithms of two libraries differ in the last bit."""


def write_encoder(folder: Path, numbering: Mapping[str, Any]) -> RawRowsCard:
    """Write raw_rows.py and, where categories have vocabularies, vocabulary.bin; says what they are, without examples.

    Raises ValueError where a vocabulary is not where the log's numbering says.
    """
    with atomic_write(folder / CODE) as handle:
        handle.write(Path(raw_rows.__file__).read_bytes())
    counts = dict[str, int]()
    files: dict[str, str] = dict(numbering.get("vocabulary_files", {}))
    if files:
        with atomic_write(folder / VOCABULARY) as handle:
            for column, name in files.items():
                keys, rows = read_vocabulary(name if "://" in name else str(folder / name))
                handle.write(keys.astype("<u8").tobytes() + rows.astype("<i4").tobytes())
                counts[column] = len(keys)
    code, vocabulary = (_described(folder / name) for name in (CODE, VOCABULARY if files else CODE))
    return RawRowsCard(code, vocabulary if files else None, counts, ())


def read_vocabulary(path: str) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
    """The keys of a column's values, ascending, and the row of each."""
    try:
        with open_binary(path) as handle:
            table = pq.read_table(handle, columns=["value", "row"]).combine_chunks()
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: the log is numbered by this vocabulary; put it back ({error})") from error
    if not len(table):
        return np.empty(0, np.uint64), np.empty(0, np.int32)
    keys = category_keys(table["value"].combine_chunks())[0]
    order = np.argsort(keys, kind="stable")
    return keys[order], table["row"].to_numpy()[order]


def _described(path: Path) -> ModelFile:
    return ModelFile(path.name, sha256(path), path.stat().st_size)


def is_written(folder: Path, card: RawRowsCard | None) -> bool:
    """Whether the files beside a model are those that its card describes."""
    if card is None:
        return False
    return are_files(folder, [one for one in (card.code, card.vocabulary) if one is not None])


def are_files(folder: Path, described: Sequence[ModelFile | ExportedFile]) -> bool:
    """Whether files are in a folder as they are described."""
    return all((folder / one.file).exists() and sha256(folder / one.file) == one.sha256 for one in described)


def examples(encoder: raw_rows.RawRows, dataset: Dataset, model: nn.Module) -> tuple[RawExample, ...]:
    """The first test rows with what the encoder makes of them and what the model answers.

    Raises RuntimeError unless the encoder finds what the stream does. None of a prepared log.
    """
    raw = dataset.raw_rows("test", TRIED_ROWS)
    if not raw:
        return ()
    dense, ids = _streamed(dataset, len(raw))
    numbers, rows, errors = encoder.encode_all(raw)
    if errors:
        row, message = next(iter(errors.items()))
        raise RuntimeError(f"raw_rows.py refuses test row {row}: {message}")
    found = torch.tensor(numbers, dtype=torch.float32)
    if not torch.equal(torch.tensor(rows), ids) or not torch.allclose(found, dense, rtol=TOLERANCE, atol=TOLERANCE):
        wrong = int(((torch.tensor(rows) != ids).any(1) | ((found - dense).abs() > TOLERANCE).any(1)).int().argmax())
        raise RuntimeError(f"raw_rows.py does not encode test row {wrong} as training did: {raw[wrong]}")
    with torch.no_grad():
        probability = model(dense[:EXAMPLES], ids[:EXAMPLES]).tolist()
    each = zip(raw, numbers, rows, probability, strict=False)
    return tuple(RawExample(row, tuple(one), tuple(own), answer) for row, one, own, answer in each)


def _streamed(dataset: Dataset, rows: int) -> tuple[Tensor, Tensor]:
    """Dense inputs [r, I] and ids [r, C] of the first test rows."""
    with dataset.stream("test", rows, drop_last=False) as stream:
        batch = next(stream)
    return batch.dense.clone(), batch.padded_ids(dataset.schema.id_places).clone()
