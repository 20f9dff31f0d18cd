"""Export the best winner: python -m pipeline.export [named run] [--run NAME] [--field value ...]

Reads the winner's checkpoint into unsharded tables, in one process and without the ranks that wrote it, and writes
model.pt (TorchScript) and model.json.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn

from modules.space import Architecture
from pipeline.retrain import best_model, read_results
from pipeline.run.checkpoint import Checkpoints, verify
from pipeline.run.files import read_json, sha256
from pipeline.serving.torchscript_model import export
from pipeline.session import Session, run_program
from pipeline.training.standalone import build


def export_best(session: Session) -> Path:
    """Write model.pt and model.json of the best winner; done before: only checks that the two belong together."""
    run = session.run
    if not session.processes.on_first(lambda: _is_complete(run.model)):
        best = best_model(session.processes.on_first(lambda: read_results(run)))
        newest = Checkpoints(run.checkpoints(f"retrain/{best['name']}"), session.processes).newest()
        if newest is None:
            raise ValueError(
                f"{run.checkpoints('retrain')}/{best['name']}: no checkpoint to export; "
                f"remove {run.results} and retrain what is missing (python -m pipeline.retrain)"
            )
        verify(newest, session.processes)
        session.processes.on_first(lambda: _export(session, best, newest))
    session.say(
        f"export     {run.model} ({run.model.stat().st_size / 1e6:.1f} MB) and {run.model.with_suffix('.json')}"
    )
    return run.model


def _export(session: Session, best: dict[str, Any], checkpoint: Path) -> None:
    architecture = Architecture.from_json(best["architecture"])
    network = build(session, best["name"], architecture).network
    tables = read_unsharded(session, network, checkpoint)
    about = {
        "numbering": session.dataset.numbering,
        "architecture": best["architecture"],
        "recipe": dataclasses.asdict(session.config.retrain),
        "metrics": {"valid": best["valid"], "test": best["test"]},
    }
    export(tables, network, session.dataset.schema.to_json(), about, session.run.model)


def read_unsharded(session: Session, network: nn.Module, checkpoint: Path) -> dict[str, Tensor]:
    """Read a checkpoint's dense weights into `network`; returns its whole tables, by name, in the schema's order."""
    tables = {table.name: torch.empty(table.num_embeddings, table.embedding_dim) for table in session.tables()}
    wanted = {
        "embeddings": {f"embedding_bags.{name}.weight": table for name, table in tables.items()},
        "dense": {name: parameter.detach() for name, parameter in network.named_parameters()},
    }
    dcp.load(wanted, checkpoint_id=str(checkpoint), no_dist=True)
    return tables


def _is_complete(model: Path) -> bool:
    description = model.with_suffix(".json")
    return model.exists() and description.exists() and read_json(description)["model"]["sha256"] == sha256(model)


if __name__ == "__main__":
    sys.exit(run_program(export_best, "pipeline.export"))
