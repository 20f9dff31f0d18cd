"""pipeline/serving/list_pooling.py: an exported model's lists against torchrec's mean pooling."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, PoolingType

from modules.space import InputShape
from modules.space.handmade import handmade
from modules.supernet import Subnet
from pipeline.data.batch import Batch
from pipeline.data.schema import Schema
from pipeline.run.files import read_json
from pipeline.run.records.model_card import Provenance
from pipeline.run.records.recipe import Recipe
from pipeline.serving.exported_model import ExportedModel, TrainedParts
from pipeline.serving.torchscript_model import write_model

SCHEMA = Schema(
    "films",
    "seen",
    ("a",),
    ("user", "genres", "site", "history"),
    (50, 9, 7, 300),
    lists=("genres", "history"),
    max_list_values=(3, 5),
)
ROWS = 500


def tables_of(seed: int, widths: tuple[int, ...]) -> EmbeddingBagCollection:
    """Unsharded tables as training has them."""
    torch.manual_seed(seed)
    columns = zip(SCHEMA.table_names, SCHEMA.table_sizes, SCHEMA.categories, widths, strict=True)
    return EmbeddingBagCollection(
        tables=[
            EmbeddingBagConfig(
                name=table,
                embedding_dim=width,
                num_embeddings=rows,
                feature_names=[column],
                pooling=PoolingType.MEAN if column in SCHEMA.lists else PoolingType.SUM,
            )
            for table, rows, column, width in columns
        ]
    )


def inputs(rows: int = ROWS) -> tuple[Tensor, Tensor]:
    """dense [B, 1] and ids [B, C], lists of all lengths from one on."""
    generator = torch.Generator().manual_seed(1)
    columns = []
    for size, places in zip(SCHEMA.table_sizes, SCHEMA.id_places, strict=True):
        own = torch.randint(size, (rows, places), generator=generator)
        lengths = torch.randint(1, places + 1, (rows, 1), generator=generator)
        columns.append(torch.where(torch.arange(places) < lengths, own, -1))
    return torch.rand(rows, 1, generator=generator), torch.cat(columns, dim=1)


def parts(widths: tuple[int, ...], seeds: int) -> tuple[list[TrainedParts], Tensor]:
    """Trainings with random weights, and the mean of their logits by torchrec's own lookup."""
    alike = len(set(widths)) == 1
    shape = InputShape(1, 4, max(widths), table_widths=() if alike else widths)
    dense, ids = inputs()
    batch = Batch.of_lists(dense, ids.t().contiguous(), torch.zeros(ROWS), SCHEMA.categories, SCHEMA.id_places)
    found, logits = [], []
    for seed in range(seeds):
        network = Subnet(handmade("dlrm", shape), shape, torch.Generator().manual_seed(seed))
        tables = tables_of(seed, widths)
        weights = {name: tables.embedding_bags[name].weight.detach() for name in SCHEMA.table_names}
        found.append(TrainedParts(weights, network))
        with torch.no_grad():
            values = tables(batch.sparse).values()
            logits.append(network(dense, values.reshape(ROWS, 4, -1) if alike else values))
    return found, torch.stack(logits).mean(0)


@pytest.mark.parametrize(("widths", "seeds"), [((8, 8, 8, 8), 2), ((4, 8, 8, 12), 1)])
def test_a_model_averages_lists_as_torchrec_does(widths: tuple[int, ...], seeds: int) -> None:
    """Tables as wide or not, one training or several, with lists of any length between single ids."""
    trainings, expected = parts(widths, seeds)
    model = ExportedModel(trainings, 1, SCHEMA.id_places)
    with torch.no_grad():
        torch.testing.assert_close(model.logit(*inputs()), expected, rtol=1e-5, atol=1e-6)


def test_an_exported_file_does_too(tmp_path: Path) -> None:
    """Its probabilities, of one row and of many, within 1e-6; model.json says how many columns each field has; an id
    outside its table, or a list without any, is an error of its place."""
    trainings, expected = parts((8, 8, 8, 8), 1)
    shape = InputShape(1, 4, 8)
    provenance = Provenance({}, handmade("dlrm", shape), Recipe(embedding_width=8), (0,), None)
    write_model(trainings, SCHEMA.to_json(), provenance, tmp_path / "model.pt")
    model: Any = torch.jit.load(str(tmp_path / "model.pt"))
    dense, ids = inputs()
    torch.testing.assert_close(model(dense, ids), expected.sigmoid(), rtol=0, atol=1e-6)
    torch.testing.assert_close(model(dense[:1], ids[:1]), expected[:1].sigmoid(), rtol=0, atol=1e-6)
    given = read_json(tmp_path / "model.json")["inputs"][1]
    assert (given["shape"], given["places"], given["table_rows"]) == (["batch", 10], [1, 3, 1, 5], [50, 9, 7, 300])
    for column, value, message in (
        (1, -1, "ids[3, 1] is -1; table t_genres has the rows 0 to 8"),
        (2, -2, "ids[3, 2] is -2; table t_genres"),
        (3, 9, "ids[3, 3] is 9; table t_genres"),
        (4, -1, "ids[3, 4] is -1; table t_site"),
        (9, 300, "ids[3, 9] is 300; table t_history has the rows 0 to 299"),
    ):
        wrong = ids.clone()
        wrong[3, column] = value
        with pytest.raises(torch.jit.Error) as caught:
            model(dense, wrong)
        assert message in str(caught.value)


def test_without_lists_nothing_is_said_of_them(tmp_path: Path) -> None:
    """A model of single ids has its inputs and description as before."""
    alone = dataclasses.replace(SCHEMA, lists=(), max_list_values=())
    shape = InputShape(1, 4, 8)
    network = Subnet(handmade("dlrm", shape), shape, torch.Generator().manual_seed(0))
    tables = {name: torch.rand(rows, 8) for name, rows in zip(alone.table_names, alone.table_sizes, strict=True)}
    provenance = Provenance({}, handmade("dlrm", shape), Recipe(embedding_width=8), (0,), None)
    write_model([TrainedParts(tables, network)], alone.to_json(), provenance, tmp_path / "model.pt")
    given = read_json(tmp_path / "model.json")["inputs"][1]
    assert set(given) == {"name", "type", "shape", "columns", "tables", "table_rows", "meaning"}
    assert given["shape"] == ["batch", 4]
