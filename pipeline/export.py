"""Export the best winner: python -m pipeline.export [named run] [--run NAME] [--field value ...]

Reads the winner's checkpoint into unsharded tables, in one process and without the ranks that wrote it, and writes
model.pt (TorchScript) and model.json.
"""

import dataclasses
import sys
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn

from pipeline.run.checkpoint import Checkpoints, verify
from pipeline.run.files import sha256
from pipeline.run.records.codec import read_record
from pipeline.run.records.model_card import ModelCard, Provenance
from pipeline.run.records.results import ModelResult, Results, SplitMetrics
from pipeline.serving.torchscript_model import write_model
from pipeline.session import Session, run_program
from pipeline.training.standalone import rebuild


def export_best(session: Session) -> Path:
    """Write model.pt and model.json of the best winner; if that is done, only check that the two belong together."""
    folder = session.folder
    if not session.processes.on_first(lambda: _is_complete(session, folder.model)):
        best = session.read(folder.results, Results).best_model
        newest = Checkpoints(folder.checkpoints(best.stage), session.processes).newest()
        if newest is None:
            raise ValueError(
                f"{folder.checkpoints(best.stage)}: no checkpoint to export; "
                f"remove {folder.results} and retrain what is missing (python -m pipeline.retrain)"
            )
        verify(newest, session.processes)
        session.processes.on_first(lambda: _export(session, best, newest))
    size_mb = folder.model.stat().st_size / 1e6
    session.say(f"export     {folder.model} ({size_mb:.1f} MB) and {folder.model.with_suffix('.json')}")
    return folder.model


def _export(session: Session, best: ModelResult, checkpoint: Path) -> None:
    network = rebuild(session, best).network
    tables = read_unsharded(session, network, checkpoint)
    provenance = Provenance(
        numbering=session.dataset.numbering,
        architecture=best.architecture,
        recipe=dataclasses.asdict(session.config.retrain),
        metrics=SplitMetrics(best.valid, best.test),
    )
    write_model(tables, network, session.dataset.schema.to_json(), provenance, session.folder.model)


def read_unsharded(session: Session, network: nn.Module, checkpoint: Path) -> dict[str, Tensor]:
    """Read a checkpoint's dense weights into `network`; returns its whole tables, by name, in the schema's order."""
    tables = {table.name: torch.empty(table.num_embeddings, table.embedding_dim) for table in session.tables()}
    wanted = {
        "embeddings": {f"embedding_bags.{name}.weight": table for name, table in tables.items()},
        "dense": {name: parameter.detach() for name, parameter in network.named_parameters()},
    }
    dcp.load(wanted, checkpoint_id=str(checkpoint), no_dist=True)
    return tables


def _is_complete(session: Session, model: Path) -> bool:
    card = model.with_suffix(".json")
    if not model.exists() or not card.exists():
        return False
    return read_record(card, ModelCard, session.space).model.sha256 == sha256(model)


if __name__ == "__main__":
    sys.exit(run_program(export_best, "pipeline.export"))
