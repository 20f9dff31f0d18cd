"""Export a trained model: python -m pipeline.export [named run] [--run NAME] [--export.model NAME] [--export.ensemble]

By default the best model of results.json, of any kind. Reads its checkpoints into unsharded tables, in one process and
without the ranks that wrote them, and writes model.pt (TorchScript), model.json and what encodes raw rows for it; with
--export.formats pt2 onnx also model.pt2 and model.onnx. --export.tables int8 or int4, --export.dense bf16: smaller.
"""

import sys

from pipeline.command_line import run_program

if __name__ == "__main__":  # first: the command line is read before the imports below, which take seconds
    sys.exit(run_program("pipeline.export:export_best", "pipeline.export"))

import dataclasses
from pathlib import Path
from typing import Any

import torch.distributed.checkpoint as dcp
from torch import Tensor, nn

from pipeline.run.checkpoint import Checkpoints, verify
from pipeline.run.processes import cpu_threads
from pipeline.run.records.codec import read_record, to_plain
from pipeline.run.records.model_card import ModelCard, ModelFile, Provenance, RawRowsCard
from pipeline.run.records.results import ModelResult, Results
from pipeline.run.tensor_files import TensorReader, TensorsOnly
from pipeline.serving.exported_model import TrainedParts
from pipeline.serving.graph_formats import check_compiler
from pipeline.serving.mapped_tables import scratch_tables
from pipeline.serving.raw_export import are_files, examples, is_written, write_encoder
from pipeline.serving.raw_rows import RawRows
from pipeline.serving.torchscript_model import write_model
from pipeline.serving.verify import rows_of_the_test_split
from pipeline.session import Session
from pipeline.training.standalone import Contender, rebuild


def export_best(session: Session) -> Path:
    """Write model.pt and model.json of the model that is asked for; if that is done, only check that they are."""
    folder, wanted = session.folder, session.config.export
    model = chosen_model(session.read(folder.results, Results), wanted.model)
    seeds = tuple(range(len(model.seeds))) if wanted.ensemble else (model.best_seed,)
    provenance = Provenance(
        numbering=session.dataset.numbering,
        architecture=model.architecture,
        recipe=model.recipe,
        seeds=seeds,
        metrics=model.ensemble if wanted.ensemble else model.seeds[model.best_seed],
    )
    check_compiler(wanted.formats)
    if not session.processes.on_first(lambda: _is_complete(session, provenance)):
        contenders = [rebuild(session, model, seed) for seed in seeds]
        checkpoints = [_newest_checkpoint(session, contender.stage) for contender in contenders]
        with cpu_threads(1):  # what is measured of the files has last bits that depend on the threads
            session.processes.on_first(lambda: _export(session, contenders, checkpoints, provenance))
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"the mean of {len(seeds)} seeds"
    session.say(f"export     {model.title}, {which}: {_written(session)}")
    return folder.model


def _written(session: Session) -> str:
    """The files of the export in words, with what rounding does to them. Every rank calls it."""
    card, folder = session.read(session.folder.model.with_suffix(".json"), ModelCard), session.folder.path
    found = []
    for one in card.files:
        words = [f"{one.bytes / 1e6:.1f} MB"]
        if (one.tables, one.dense) != ("fp32", "fp32"):
            words += [f"tables {one.tables}", f"dense {one.dense}", f"log loss {one.check.log_loss_difference:+.6f}"]
        found.append(f"{folder / one.file} ({', '.join(words)})")
    return f"{', '.join(found)} and {folder / 'model.json'}"


def chosen_model(results: Results, name: str, option: str = "export.model") -> ModelResult:
    """The model of this name or title (or of this kind/name, where several share the name); the best for no name.

    Raises ValueError with the option that gave it, and with what there is, for an unknown or an ambiguous name.
    """
    if not name:
        return results.best_model
    found = [model for model in results.models if name in (model.name, model.title, f"{model.kind}/{model.name}")]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{model.kind}/{model.name} ({model.title})" for model in found or results.models)
    problem = "is the name of several models" if found else "is no model of results.json"
    raise ValueError(f"{option}: {name!r} {problem}; choose one of {listed}")


def _newest_checkpoint(session: Session, stage: str) -> Path:
    """The checkpoint of a finished training, its files intact. Every rank calls it."""
    checkpoints = Checkpoints(session.folder.checkpoints(stage), session.processes)
    newest = checkpoints.newest()
    if newest is None:
        raise ValueError(
            f"{checkpoints.folder}: no checkpoint to export; "
            f"remove {session.folder.results} and train what is missing again (python -m pipeline.retrain)"
        )
    verify(newest, session.processes)
    return newest


def _export(session: Session, contenders: list[Contender], checkpoints: list[Path], provenance: Provenance) -> None:
    trainings = [
        TrainedParts(read_unsharded(contender.session, contender.network, checkpoint), contender.network)
        for contender, checkpoint in zip(contenders, checkpoints, strict=True)
    ]
    schema, folder = session.dataset.schema, session.folder.path
    written = write_encoder(folder, provenance.numbering)
    inputs: tuple[dict[str, Any], ...] = (
        {},
        {"table_rows": list(schema.table_sizes), "places": list(schema.id_places)},
    )
    document = {"schema": schema.to_json(), "numbering": provenance.numbering, "inputs": inputs}
    encoder = RawRows({**document, "raw_rows": to_plain(written)}, folder)

    def described(model: nn.Module) -> RawRowsCard:
        return dataclasses.replace(written, examples=examples(encoder, session.dataset, model))

    rows = rows_of_the_test_split(session.dataset)
    files = session.config.export.files
    write_model(trainings, schema.to_json(), provenance, session.folder.model, described, files, rows)


def read_unsharded(session: Session, network: nn.Module, checkpoint: Path) -> dict[str, Tensor]:
    """Read a checkpoint's dense weights into `network`; returns its whole tables, by name, in the schema's order, in a
    file that is mapped into memory.

    `session`: the contender's own, whose embedding width the tables have.
    """
    shapes = {table.name: (table.num_embeddings, table.embedding_dim) for table in session.tables()}
    tables = scratch_tables(shapes, session.folder.path)
    wanted = {
        "embeddings": {f"embedding_bags.{name}.weight": table for name, table in tables.items()},
        "dense": {name: parameter.detach() for name, parameter in network.named_parameters()},
    }
    dcp.load(wanted, storage_reader=TensorReader(checkpoint), planner=TensorsOnly(), no_dist=True)
    return tables


def _is_complete(session: Session, wanted: Provenance) -> bool:
    """Whether all files are there, are what model.json describes, and hold the trainings that are wanted as wanted."""
    model, files = session.folder.model, session.config.export.files
    path = model.with_suffix(".json")
    if not model.exists() or not path.exists():
        return False
    card = read_record(path, ModelCard, session.space)
    described = (card.architecture, card.recipe, card.seeds, card.metrics)
    asked = (wanted.architecture, wanted.recipe, wanted.seeds, wanted.metrics)
    if described != asked or [(one.format, one.tables, one.dense) for one in card.files] != [
        (each, files.tables, files.dense) for each in files.formats
    ]:
        return False
    tables = card.inputs[1].get("tables_file")
    if (tables is not None) != files.mapped:
        return False
    described_tables = () if tables is None else (ModelFile(tables["file"], tables["sha256"], tables["bytes"]),)
    are_whole = are_files(model.parent, (card.model, *card.files, *described_tables))
    return are_whole and is_written(model.parent, card.raw_rows)
