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
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from pipeline.data.schema import Schema
from pipeline.run.files import atomic_write, sha256, sync_folder
from pipeline.run.records.codec import write_record
from pipeline.run.records.model_card import ExportedFile, FileCheck, ModelCard, ModelFile, Provenance, RawRowsCard
from pipeline.serving.exported_model import ExportedModel, TrainedParts
from pipeline.serving.graph_formats import graph_file
from pipeline.serving.mapped_tables import TABLES_FILE, write_tables
from pipeline.serving.names import FILES, ExportFiles, FileFormat, FurtherFormat
from pipeline.serving.other_process import run_python
from pipeline.serving.precision import with_precision
from pipeline.serving.verify import LabelledRows, check_file

PLAIN = ExportFiles()
"""model.pt alone, in fp32."""
_SCRIPTING = "import sys; from pipeline.serving.exported_model import script_file; script_file(*sys.argv[1:])"


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
    trained = ExportedModel(parts, max(len(_numbers(schema_json)), 1), id_places, target.parent)
    trained = trained.eval().requires_grad_(False)
    model = with_precision(trained, wanted.tables, wanted.dense)
    scripted = _script_apart(model, target, wanted.mapped)
    checks = dict[FileFormat, FileCheck]()
    with contextlib.ExitStack() as made:
        graphs = {kind: made.enter_context(graph_file(model, target.parent, kind)) for kind in wanted.further}
        for kind, graph in graphs.items():
            checks[kind] = check_file(graph, kind, wanted, trained, rows)
        checks["torchscript"] = _write_checked(scripted, model, target, wanted, trained, rows)
        for kind in get_args(FurtherFormat):
            further = target.with_name(FILES[kind])
            if kind not in graphs:
                further.unlink(missing_ok=True)
                continue
            with graphs[kind].open("rb") as graph_bytes, atomic_write(further) as handle:
                shutil.copyfileobj(graph_bytes, handle)
    described = raw_rows(model) if raw_rows is not None else None
    card = _card(model, schema_json, provenance, target, described, wanted.mapped)
    paths = {each: target if each == "torchscript" else target.with_name(FILES[each]) for each in wanted.formats}
    files = tuple(_exported_file(file, each, wanted, checks[each]) for each, file in paths.items())
    write_record(target.with_suffix(".json"), dataclasses.replace(card, files=files))


def _write_checked(
    scripted: torch.jit.ScriptModule,
    model: ExportedModel,
    target: Path,
    wanted: ExportFiles,
    trained: ExportedModel,
    rows: LabelledRows | None,
) -> FileCheck:
    """Write model.pt, and model.tables if that is wanted, beside where they belong; they are put there once a fresh
    process has given the trained model's probabilities. torch writes the file itself: given a handle it would hold all
    of it in memory first."""
    tables = target.with_name(TABLES_FILE)
    with tempfile.TemporaryDirectory(prefix=f"{target.name}.tmp-", dir=target.parent) as own:
        made, made_tables = Path(own) / "model.pt", Path(own) / tables.name  # the archive has its name in it
        try:
            torch.jit.save(scripted, str(made))
        except RuntimeError as error:  # of a full disk
            raise OSError(f"{target} could not be written ({str(error).splitlines()[0]}); is the disk full?") from error
        if wanted.mapped:
            write_tables(model.embeddings, made_tables)
        check = check_file(made, "torchscript", wanted, trained, rows, made_tables if wanted.mapped else None)
        if wanted.mapped:
            os.replace(made_tables, tables)
        with made.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(made, target)
    if not wanted.mapped:
        tables.unlink(missing_ok=True)
    sync_folder(target.parent)
    return check


def _exported_file(path: Path, kind: FileFormat, wanted: ExportFiles, check: FileCheck) -> ExportedFile:
    """What model.json says of a file."""
    return ExportedFile(path.name, sha256(path), path.stat().st_size, kind, wanted.tables, wanted.dense, check)


def _script_apart(model: ExportedModel, path: Path, mapped: bool) -> torch.jit.ScriptModule:
    """The scripted model, compiled in a fresh process, where TorchScript has compiled nothing before.

    TorchScript numbers classes of the same name by what was compiled earlier and writes constants in a set's order, so
    that in this process the bytes of model.pt would depend on what it compiled before and on Python's hash seed. Only a
    skeleton with one-row tables is passed to the other process; the tables are put in afterwards, or none if they are
    `mapped`. The files passed lie beside `path`, where the run's next start removes what a killed one left.
    """
    skeleton = copy.copy(model)
    skeleton._buffers = {**model._buffers, "embeddings": model.embeddings[:1].clone()}
    skeleton.matrix_shape = list(model.embeddings.shape)
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.tmp-", dir=path.parent) as folder:
        source, target = f"{folder}/skeleton.pt", f"{folder}/model.pt"
        torch.save(skeleton, source)
        environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONHASHSEED": "0"}
        run_python(["-W", "ignore", "-c", _SCRIPTING, source, target], environment, "scripting the model")
        scripted = torch.jit.load(target, map_location="cpu")
    scripted.embeddings = model.embeddings[:0].clone() if mapped else model.embeddings
    return scripted


def _card(
    model: ExportedModel,
    schema_json: dict[str, Any],
    provenance: Provenance,
    path: Path,
    raw_rows: RawRowsCard | None,
    mapped: bool,
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
            **({"tables_file": _tables_file(path.with_name(TABLES_FILE), model)} if mapped else {}),
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


def _tables_file(path: Path, model: ExportedModel) -> dict[str, Any]:
    """What model.json says of model.tables."""
    return {
        "file": path.name,
        "sha256": sha256(path),
        "bytes": path.stat().st_size,
        "shape": list(model.embeddings.shape),
        "type": str(model.embeddings.dtype).removeprefix("torch."),
        "meaning": "the tables' numbers, row after row: call map_tables(path) of the model once it is loaded",
    }


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
