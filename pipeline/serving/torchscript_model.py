"""The model as a server gets it: `model.pt`, TorchScript over plain tensors, and `model.json` beside it.

A server needs torch alone (fbgemm_gpu may be loaded too, torchrec and this project need not):

    model = torch.jit.load("model.pt")
    probability = model(dense, ids)  # [B, I] float32, [B, F] int64 -> [B] float32

A field that is a list has several successive columns of ids, as many as it keeps values; -1 where there is none.

B batch, I dense inputs, F categorical fields, C columns of ids (F without lists), D embedding width, S trainings that
the model averages; g greatest common divisor of the tables' widths (D where all are alike), U pieces of that width that
a row looks up, R of all tables.
"""

import contextlib
import copy
import dataclasses
import importlib.metadata
import math
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from pipeline.data.schema import Schema
from pipeline.run.files import atomic_write, sha256
from pipeline.run.records.codec import write_record
from pipeline.run.records.model_card import ExportedFile, FileCheck, ModelCard, ModelFile, Provenance, RawRowsCard
from pipeline.serving.graph_formats import graph_file
from pipeline.serving.list_pooling import pooled
from pipeline.serving.names import FILES, ExportFiles, FileFormat, FurtherFormat
from pipeline.serving.other_process import run_python
from pipeline.serving.precision import looked_up, with_precision
from pipeline.serving.verify import LabelledRows, check_file

PLAIN = ExportFiles()
"""model.pt alone, in fp32."""
_SCRIPTING = "import sys; from pipeline.serving.torchscript_model import script_file; script_file(*sys.argv[1:])"


@dataclass(frozen=True)
class TrainedParts:
    """What one training left."""

    tables: dict[str, Tensor]
    """Name -> [rows, width], one per field, in the order of the ids' columns."""
    interaction: nn.Module
    """forward(dense [B, I], sparse [B, F, D]) -> logit [B]; given [B, U, g], the tables' rows in pieces one after the
    other, where the widths differ."""


class ExportedModel(nn.Module):
    """One training's embedding tables and interaction, or those of several whose logits are averaged, as one module.

    The tables lie one after the other in a single matrix, and the trainings' rows side by side in it, so that one
    lookup serves all fields of all trainings. Where the tables' widths differ, a row of a table is several successive
    rows of the matrix, whose width all table widths are multiples of.
    """

    embeddings: Tensor
    table_rows: Tensor
    id_fields: Tensor
    lowest_ids: Tensor
    piece_fields: Tensor
    piece_steps: Tensor
    first_pieces: Tensor

    def __init__(self, trainings: Sequence[TrainedParts], integers: int, id_places: Sequence[int] = ()) -> None:
        """trainings: at least one, of the same architecture and tables; integers: I; id_places: columns of ids of each
        field [F], by default one."""
        super().__init__()
        first = trainings[0].tables
        shapes = {name: tuple(table.shape) for name, table in first.items()}
        self.integers, self.width = integers, math.gcd(*(width for _, width in shapes.values()))
        self.tables, self.table_bits = list(first), 32  # another precision: pipeline/serving/precision.py
        self.interactions = nn.ModuleList(training.interaction for training in trainings)
        table_rows = torch.tensor([rows for rows, _ in shapes.values()])  # [F]
        pieces = torch.tensor([width // self.width for _, width in shapes.values()])  # [F]
        embeddings = torch.empty(int((table_rows * pieces).sum()), len(trainings) * self.width)  # [R, S · g]
        for training, own in zip(trainings, embeddings.split(self.width, dim=1), strict=True):
            found = {name: tuple(table.shape) for name, table in training.tables.items()}
            if list(found.items()) != list(shapes.items()):
                raise ValueError(f"trainings of one model have the tables {shapes} and {found}; they must be alike")
            tables = (table.detach().to("cpu", torch.float32) for table in training.tables.values())
            torch.cat([table.reshape(-1, self.width) for table in tables], out=own)
        self.id_places, self.pieces = list(id_places) or [1] * len(shapes), pieces.tolist()
        self.has_lists = max(self.id_places) > 1
        id_fields = torch.arange(len(pieces)).repeat_interleave(torch.tensor(self.id_places))  # [C]
        is_first = torch.cat([torch.arange(places) == 0 for places in self.id_places])
        first_rows, pieces = (
            ((table_rows * pieces).cumsum(0) - table_rows * pieces)[id_fields],
            pieces[id_fields],
        )  # [C]
        # For each piece that a row looks up: the column of its id, how far apart rows of that table lie, and where the
        # first is.
        number = torch.cat([torch.arange(count) for count in pieces.tolist()])  # [U], with lists more
        self.register_buffer("embeddings", embeddings)
        self.register_buffer("table_rows", table_rows)
        self.register_buffer("id_fields", id_fields)
        self.register_buffer("lowest_ids", torch.where(is_first, 0, -1))
        self.register_buffer("piece_fields", torch.arange(len(pieces)).repeat_interleave(pieces))
        self.register_buffer("piece_steps", pieces.repeat_interleave(pieces))
        self.register_buffer("first_pieces", first_rows.repeat_interleave(pieces) + number)

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        """(dense [B, I] float32, as model.json describes; ids [B, F] int64) -> probability of a click [B].

        Raises what `logit` does.
        """
        return torch.sigmoid(self.logit(dense, ids))

    @torch.jit.export
    def logit(self, dense: Tensor, ids: Tensor) -> Tensor:
        """The same inputs -> log(p / (1 - p)) of the probability [B], which keeps what float32 loses near 1.

        Raises ValueError (`torch.jit.Error` from TorchScript, saying the same) for other shapes or types and for an id
        outside its table, naming row, field and value.
        """
        fields = len(self.id_fields)
        if dense.dim() != 2 or dense.size(1) != self.integers or dense.dtype != torch.float32:
            raise ValueError(f"dense is {dense.dtype} {dense.shape}; it must be float32 [batch, {self.integers}]")
        if ids.dim() != 2 or ids.size(1) != fields or ids.size(0) != dense.size(0) or ids.dtype != torch.int64:
            raise ValueError(f"ids is {ids.dtype} {ids.shape}; it must be int64 [{dense.size(0)}, {fields}]")
        if dense.size(0) == 0:
            return dense.new_empty(0)  # the interactions' reshapes cannot infer sizes from nothing
        outside = (ids < self.lowest_ids) | (ids >= self.table_rows[self.id_fields])
        if bool(outside.any()):
            first = outside.nonzero()[0]
            row, column = int(first[0]), int(first[1])
            field = int(self.id_fields[column])
            raise ValueError(
                f"ids[{row}, {column}] is {int(ids[row, column])}; "
                f"table {self.tables[field]} has the rows 0 to {int(self.table_rows[field]) - 1}"
            )
        found = ids.clamp(min=0) if self.has_lists else ids
        places = found[:, self.piece_fields] * self.piece_steps + self.first_pieces  # [B, U]
        sparse = looked_up(self.embeddings, places, self.table_bits, len(self.interactions))  # [B, U, S · g]
        if self.has_lists:
            sparse = pooled(sparse, ids, self.id_places, self.pieces)
        logit = torch.zeros_like(dense[:, 0])
        for number, interaction in enumerate(self.interactions):
            own = sparse[:, :, number * self.width : (number + 1) * self.width]  # [B, U, g]
            logit = logit + interaction(dense, own.contiguous())
        return logit / len(self.interactions)


def write_model(
    trainings: Sequence[TrainedParts],
    schema_json: dict[str, Any],
    provenance: Provenance,
    path: str | os.PathLike[str],
    raw_rows: Callable[[nn.Module], RawRowsCard] | None = None,
    wanted: ExportFiles = PLAIN,
    rows: LabelledRows | None = None,
) -> None:
    """Write `path` (model.pt), what else is wanted beside it, and the same name ending in .json.

    trainings: one, or several whose logits the model averages; their tables in the schema's order. provenance: what
    model.json says beside inputs and output; `raw_rows(model)`: what it says of the files that encode raw rows; `rows`:
    rows of the test split on which every file is compared with the trained model.
    The files appear only after a fresh process has loaded each and given the same probabilities; otherwise
    RuntimeError, and the files that were there before stay. Files of formats that are not wanted any more go. The same
    weights give the same bytes of model.pt. A run killed between the files leaves a model.json whose sha256 is not
    model.pt's: export again.
    """
    target = Path(path)
    parts = [TrainedParts(one.tables, copy.deepcopy(one.interaction).cpu().float()) for one in trainings]
    id_places = Schema.from_json(schema_json).id_places if schema_json.get("lists") else ()
    trained = ExportedModel(parts, max(len(_numbers(schema_json)), 1), id_places).eval().requires_grad_(False)
    model = with_precision(trained, wanted.tables, wanted.dense)
    scripted = _script_apart(model, target)
    checks = dict[FileFormat, FileCheck]()
    with contextlib.ExitStack() as made:
        graphs = {kind: made.enter_context(graph_file(model, target.parent, kind)) for kind in wanted.further}
        for kind, graph in graphs.items():
            checks[kind] = check_file(graph, kind, wanted, trained, rows)
        with atomic_write(target) as handle:
            torch.jit.save(scripted, handle)
            handle.flush()
            checks["torchscript"] = check_file(Path(handle.name), "torchscript", wanted, trained, rows)
        for kind in get_args(FurtherFormat):
            further = target.with_name(FILES[kind])
            if kind not in graphs:
                further.unlink(missing_ok=True)
                continue
            with graphs[kind].open("rb") as graph_bytes, atomic_write(further) as handle:
                shutil.copyfileobj(graph_bytes, handle)
    card = _card(model, schema_json, provenance, target, raw_rows(model) if raw_rows is not None else None)
    paths = {each: target if each == "torchscript" else target.with_name(FILES[each]) for each in wanted.formats}
    files = tuple(_exported_file(file, each, wanted, checks[each]) for each, file in paths.items())
    write_record(target.with_suffix(".json"), dataclasses.replace(card, files=files))


def _exported_file(path: Path, kind: FileFormat, wanted: ExportFiles, check: FileCheck) -> ExportedFile:
    """What model.json says of a file."""
    return ExportedFile(path.name, sha256(path), path.stat().st_size, kind, wanted.tables, wanted.dense, check)


def script_file(source: str, target: str) -> None:
    """Script the pickled module in `source` into `target`. Run in a process of its own by `write_model`."""
    torch.jit.save(torch.jit.script(torch.load(source, weights_only=False)), target)


def _script_apart(model: ExportedModel, path: Path) -> torch.jit.ScriptModule:
    """The scripted model, compiled in a fresh process, where TorchScript has compiled nothing before.

    TorchScript numbers classes of the same name by what was compiled earlier and writes constants in a set's order, so
    that in this process the bytes of model.pt would depend on what it compiled before and on Python's hash seed. Only a
    skeleton with one-row tables is passed to the other process; the tables are put in afterwards. The files passed lie
    beside `path`, where the run's next start removes what a killed one left.
    """
    skeleton = copy.copy(model)
    skeleton._buffers = {**model._buffers, "embeddings": model.embeddings[:1].clone()}
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.tmp-", dir=path.parent) as folder:
        source, target = f"{folder}/skeleton.pt", f"{folder}/model.pt"
        torch.save(skeleton, source)
        environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONHASHSEED": "0"}
        run_python(["-W", "ignore", "-c", _SCRIPTING, source, target], environment, "scripting the model")
        scripted = torch.jit.load(target, map_location="cpu")
    scripted.embeddings = model.embeddings
    return scripted


def _card(
    model: ExportedModel,
    schema_json: dict[str, Any],
    provenance: Provenance,
    path: Path,
    raw_rows: RawRowsCard | None,
) -> ModelCard:
    """model.json: what a server must know to feed model.pt, and what this model is."""
    inputs: tuple[dict[str, Any], ...] = (
        {
            "name": "dense",
            "type": "float32",
            "shape": ["batch", model.integers],
            "columns": _numbers(schema_json),
            "meaning": f"{_dense_note(schema_json)}; rules: numbering",
        },
        {
            "name": "ids",
            "type": "int64",
            "shape": ["batch", len(model.id_fields)],
            "columns": list(schema_json["categories"]),
            "tables": model.tables,
            "table_rows": model.table_rows.tolist(),
            "meaning": "row of each table, see numbering; an id outside its table is an error",
            **({"places": model.id_places} if model.has_lists else {}),
        },
    )
    return ModelCard(
        model=ModelFile(path.name, sha256(path), path.stat().st_size),
        inputs=inputs,
        output={"type": "float32", "shape": ["batch"], "meaning": f"probability that {schema_json['label']} is 1"},
        schema=schema_json,
        numbering=provenance.numbering,
        raw_rows=raw_rows,
        architecture=provenance.architecture,
        recipe=provenance.recipe,
        seeds=provenance.seeds,
        metrics=provenance.metrics,
        versions=_versions(),
    )


def _dense_note(schema_json: dict[str, Any]) -> str:
    integers, floats = len(schema_json["integers"]), len(schema_json["floats"])
    if not integers + floats:
        return "no numeric columns: one constant 1.0"
    return f"one number a column, {integers} by the rule of integers, then {floats} by that of decimal numbers"


def _numbers(schema_json: dict[str, Any]) -> list[str]:
    """The numeric columns, in the order of the dense inputs."""
    return [*schema_json["integers"], *schema_json["floats"]]


def _versions() -> dict[str, str]:
    """Versions of what made the model."""
    installed = {"python": platform.python_version()}
    for package in ("torch", "torchrec", "fbgemm-gpu", "fbgemm-gpu-cpu"):
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # one of the two fbgemm builds is always absent
    return installed
