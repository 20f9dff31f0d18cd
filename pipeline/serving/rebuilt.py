"""An exported model back as a module of this project, from model.pt and model.json alone.

Its weights, tables included, are those of the file.
"""

from typing import Any

import torch
from torch import Tensor, nn

from modules.integers import PiecewiseLinear, Standardization
from modules.operators import InputShape
from modules.supernet import OwnWeights, Subnet
from pipeline.evaluation.exported import Exported, open_export
from pipeline.run.records.recipe import numbers_read
from pipeline.serving.exported_model import ExportedModel, TrainedParts


def rebuilt(folder: str) -> ExportedModel:
    """The model that model.pt, in fp32, was scripted from. Raises ValueError for what is none, or is smaller."""
    export = open_export(folder)
    files = [one for one in export.card.files if one.format == "torchscript"]
    if any((one.tables, one.dense) != ("fp32", "fp32") for one in files):
        raise ValueError(f"{export.path} is not in fp32; export the model again without --export.tables and .dense")
    held = {**dict(export.network.named_parameters()), **dict(export.network.named_buffers())}
    for layer_norm in (True, False):
        model = _skeleton(export, layer_norm)
        wanted = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        if {name: one.shape for name, one in wanted.items()} == {name: one.shape for name, one in held.items()}:
            return _filled(model, held)
    raise ValueError(f"{export.path} does not have the weights of the network in model.json; export the model again")


def _skeleton(export: Exported, layer_norm: bool) -> ExportedModel:
    """The module with any weights; its tables share one row's memory until they are filled."""
    recipe, fields = export.card.recipe, len(export.table_rows)
    numbers = numbers_read(recipe.numbers, export.schema.dense_width)
    shape = InputShape(numbers, fields, recipe.embedding_width, table_widths=tuple(recipe.table_widths))
    tables = {
        name: torch.zeros(1, width).expand(rows, width)
        for name, rows, width in zip(export.card.inputs[1]["tables"], export.table_rows, shape.widths, strict=True)
    }
    parts = []
    for _ in export.card.seeds:
        integers, weights = _numbers_read(export.network, numbers), OwnWeights(layer_norm=layer_norm)
        parts.append(TrainedParts(tables, Subnet(export.card.architecture, shape, weights=weights, integers=integers)))
    return ExportedModel(parts, export.schema.dense_width, export.schema.id_places)


def _numbers_read(network: Any, numbers: int) -> Standardization | None:
    """What reads the numeric columns, with any numbers in it; None where they are read as they are."""
    held = dict(network.named_buffers())
    if tuple(held["interactions.0.integers.mean"].shape) != (numbers,):
        return None
    own, encoding = torch.ones(numbers), None
    lower = held.get("interactions.0.integers.encoding.lower")
    if lower is not None:
        encoding = PiecewiseLinear([[]] * lower.shape[0], lower.shape[1])
    return Standardization(own, own, encoding)


def _filled(model: ExportedModel, held: dict[str, Tensor]) -> ExportedModel:
    """The module with the weights of the file."""
    for name, value in held.items():
        path, _, last = name.rpartition(".")
        owner = model.get_submodule(path)
        if last in owner._buffers:
            owner._buffers[last] = value
        else:
            owner._parameters[last] = nn.Parameter(value, requires_grad=False)
    return model.eval().requires_grad_(False)
