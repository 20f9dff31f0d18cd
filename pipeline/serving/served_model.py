"""An export as a server holds it: a file of any format and the encoder of raw rows, called alike.

It needs the exported files alone: nothing is read of the run that made them. The file is run: serve those you trust.

B rows, I dense inputs, C columns of ids.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import numpy.typing as npt
import torch

from pipeline.run.files import sha256
from pipeline.serving.names import FileFormat
from pipeline.serving.raw_rows import RawRows
from pipeline.serving.remembered_rows import RememberedRows
from pipeline.serving.server_config import ServedFormat, chosen_format

Floats = npt.NDArray[numpy.float32]
Ids = npt.NDArray[numpy.int64]
Score = Callable[[Floats, Ids], tuple[Floats, Floats]]
"""Dense inputs [B, I] and ids [B, C] → probability [B] and logit [B]; B at least 1, ids inside their tables."""
WARM_UP_ROWS = (1, 1, 1, 2, 2, 16, 16, 128)
"""Batches that a model is tried with before it serves: TorchScript compiles in its first calls."""


@dataclass(frozen=True)
class ServedModel:
    """An export, ready to score raw rows."""

    file: Path
    """The file that scores."""
    format: FileFormat
    """What it is."""
    sha256: str
    """Of its bytes, in hexadecimal: which model this is."""
    rows: RememberedRows
    """The encoder."""
    score: Score
    """The file, called."""


def load_served(card: Path, wanted: ServedFormat = "auto") -> ServedModel:
    """The export that `card` (model.json) describes.

    Raises ValueError naming the file where something is missing or is not what model.json says.
    """
    document = _read(card)
    files = document.get("files") or [{**document["model"], "format": "torchscript"}]
    described = {one["format"]: one for one in files}
    kind = chosen_format(wanted, tuple(described))
    vocabulary = (document.get("raw_rows") or {}).get("vocabulary")
    tables = document["inputs"][1].get("tables_file")
    for one in [described[kind], *([vocabulary] if vocabulary else []), *([tables] if tables else [])]:
        path = card.with_name(one["file"])
        if not path.is_file() or sha256(path) != one["sha256"]:
            raise ValueError(f"{path} is not the file that {card} describes; export again, or copy the files together")
    file = card.with_name(described[kind]["file"])
    score = load_score(file, kind, card.with_name(tables["file"]) if tables else None)
    _warm_up(score, document)
    rows = RememberedRows(RawRows(document, card.parent))
    return ServedModel(file, kind, described[kind]["sha256"], rows, score)


def load_score(file: Path, kind: FileFormat, tables: Path | None = None) -> Score:
    """The file as a function, its tables mapped from `tables` where they are a file of their own. It uses one thread.
    Raises ValueError for a file that cannot be loaded."""
    try:
        match kind:
            case "torchscript":
                return _of_torch(_scripted(file, tables))
            case "pt2":
                # its own call reads the call's specification from JSON each time, which takes longer than a small model
                run = torch._inductor.aoti_load_package(str(file), run_single_threaded=True).loader.boxed_run
                return _of_torch(lambda dense, ids: run([dense, ids]))
            case "onnx":
                return _of_onnx(file)
    except (RuntimeError, ImportError) as error:
        raise ValueError(f"{file} cannot be loaded ({str(error).strip().splitlines()[-1]})") from error


def _read(card: Path) -> dict[str, Any]:
    try:
        document = json.loads(card.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{card} cannot be read ({error.strerror}); give the folder of an export") from error
    except ValueError as error:
        raise ValueError(f"{card} is not JSON ({error}); export the model again") from error
    if not isinstance(document, dict) or not document.get("raw_rows") or "model" not in document:
        raise ValueError(f"{card} does not say how raw rows are encoded; export the model again")
    return document


def _scripted(file: Path, tables: Path | None) -> Callable[..., Any]:
    """A frozen TorchScript model: its logit alone, whose sigmoid is the probability."""
    loaded: Any = torch.jit.load(str(file), map_location="cpu")
    if tables is not None:
        loaded.map_tables(str(tables))
    frozen = torch.jit.freeze(loaded.eval(), preserved_attrs=["logit"])

    def run(dense: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logit = frozen.logit(dense, ids)
        return torch.sigmoid(logit), logit

    return run


def _of_torch(run: Callable[..., Any]) -> Score:
    def score(dense: Floats, ids: Ids) -> tuple[Floats, Floats]:
        with torch.inference_mode():
            probability, logit = run(torch.from_numpy(dense), torch.from_numpy(ids))
        return probability.numpy(), logit.numpy()

    return score


def _of_onnx(file: Path) -> Score:
    import onnxruntime  # only where an ONNX file is served

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def score(dense: Floats, ids: Ids) -> tuple[Floats, Floats]:
        probability, logit = session.run(["probability", "logit"], {"dense": dense, "ids": ids})
        return probability, logit

    return score


def _warm_up(score: Score, document: Mapping[str, Any]) -> None:
    """Score made-up rows; what is compiled or allocated on the first call is then there."""
    inputs: Sequence[Mapping[str, Any]] = document["inputs"]
    for rows in WARM_UP_ROWS:
        dense = numpy.zeros((rows, inputs[0]["shape"][1]), numpy.float32)
        score(dense, numpy.zeros((rows, inputs[1]["shape"][1]), numpy.int64))
