"""Exports of networks with random weights, one a numbering, and the test rows of the logs that numbered them."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from modules.space import InputShape
from modules.space.handmade import handmade
from modules.supernet import Subnet
from pipeline.data import DataConfig, Dataset, open_dataset
from pipeline.data.formats.features import HASHING
from pipeline.data.prepare.vocabulary import category_keys
from pipeline.data.schema import Schema
from pipeline.evaluation.exported import Exported, Vocabulary
from pipeline.run.records.codec import to_plain
from pipeline.run.records.model_card import ModelCard, ModelFile, Provenance, RawRowsCard
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.results import Metrics, SplitMetrics
from pipeline.serving.exported_model import ExportedModel, TrainedParts
from pipeline.serving.names import ExportFiles
from pipeline.serving.raw_export import examples, write_encoder
from pipeline.serving.raw_rows import RawRows
from pipeline.serving.torchscript_model import PLAIN, write_model
from pipeline.training.metrics import Evaluation
from tests.made_once import made_once

ROWS, WIDTH = 4_000, 4
Numbering = Literal["hash", "vocabulary"]


@dataclass(frozen=True)
class Made:
    """An export in a folder like a run's."""

    folder: Path
    """Where model.pt lies. Not to be changed."""
    dataset: Dataset
    """The log of the run."""
    test: pa.Table
    """Its test rows, as the log has them."""

    @property
    def model(self) -> Path:
        """model.pt."""
        return self.folder / "model.pt"


def raw_test_rows(dataset: Dataset) -> pa.Table:
    """The test rows with their labels, as the log has them."""
    split, parts = dataset._splits["test"], list[pa.Table]()
    for unit in range(len(split.counts)):
        table, picked = split.reader.columns(unit, list(dataset.schema.inputs)), split.select(unit)
        parts.append(table if picked is None else table.take(pa.array(picked)))
    return pa.concat_tables(parts)


def write_export(folder: Path, dataset: Dataset, files: ExportFiles = PLAIN) -> None:
    """DLRM with random weights, whose logits spread, exported as pipeline/export.py does it."""
    schema = dataset.schema
    shape = InputShape(schema.dense_width, schema.num_categories, WIDTH)
    architecture = handmade("dlrm", shape)
    generator = torch.Generator().manual_seed(5)
    network = Subnet(architecture, shape, generator)
    tables = {
        name: 2 * torch.randn(rows, WIDTH, generator=generator)
        for name, rows in zip(schema.table_names, schema.table_sizes, strict=True)
    }
    parts = [TrainedParts(tables, network)]
    eager, rows = ExportedModel(parts, schema.dense_width).eval(), Evaluation()
    with torch.no_grad(), dataset.stream("test", 500) as stream:
        for batch in stream:
            rows.add(eager.logit(batch.dense, batch.ids), batch.label)
    test = rows.own_metrics()
    provenance = Provenance(
        dataset.numbering, architecture, Recipe(embedding_width=WIDTH), (0,), SplitMetrics(test, test)
    )
    written = write_encoder(folder, dataset.numbering)
    inputs: list[dict[str, Any]] = [{}, {"table_rows": list(schema.table_sizes)}]
    document = {"schema": schema.to_json(), "numbering": dataset.numbering, "inputs": inputs}
    encoder = RawRows({**document, "raw_rows": to_plain(written)}, folder)

    def described(model: nn.Module) -> RawRowsCard:
        return dataclasses.replace(written, examples=examples(encoder, dataset, model))

    write_model(parts, schema.to_json(), provenance, folder / "model.pt", described, files)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Numbering], Made]:
    """`made("hash")`: an export of that numbering, made once for all processes of the session."""
    found: dict[str, Made] = {}

    def opened(folder: Path, numbering: Numbering) -> Dataset:
        config = DataConfig(rows=ROWS, numbering=numbering, max_table_rows=300)
        return open_dataset(config, str(folder / "data"))

    def of(numbering: Numbering) -> Made:
        if numbering not in found:
            folder = made_once(
                tmp_path_factory, f"run_{numbering}", lambda own: write_export(own, opened(own, numbering))
            )
            dataset = opened(folder, numbering)
            found[numbering] = Made(folder, dataset, raw_test_rows(dataset))
        return found[numbering]

    return of


def write_days(folder: Path, table: pa.Table, days: int = 3) -> Path:
    """A raw log of several files that hold the table's rows in order."""
    folder.mkdir(parents=True)
    size = -(-len(table) // days)
    for day in range(days):
        pq.write_table(table.slice(day * size, size), folder / f"day_{day}.parquet", row_group_size=57)
    return folder


SCHEMA = Schema(
    "small",
    "clicked",
    ("price", "age"),
    ("user", "site", "hour"),
    (9, 40, 25),
    integer_ids=("user",),
    hours=("hour",),
    floats=("score",),
)
TEST = Metrics(0.6, 0.7, 0.9, 1.1, 500)


class Network(nn.Module):
    """A network whose logit [B] is known: the sum of dense inputs less some part of the ids."""

    def logit(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """[B]."""
        return 0.2 * dense.sum(1) - 0.05 * ids.double().sum(1).float()


def small_export(
    schema: Schema = SCHEMA,
    vocabularies: Mapping[str, Vocabulary] = MappingProxyType({}),
    table_rows: tuple[int, ...] | None = None,
    test: Metrics | None = TEST,
) -> Exported:
    """An export of `Network`, in memory alone."""
    rows = table_rows or schema.table_sizes
    kind = "vocabulary" if vocabularies else "hash"
    rules = {"kind": kind, "table_sizes": dict(zip(schema.categories, schema.table_sizes, strict=True)), **HASHING}
    card = ModelCard(
        ModelFile("model.pt", "0" * 64, 10),
        ({}, {"table_rows": list(rows)}),
        {},
        schema.to_json(),
        {**rules, "unknown_category_row": 1, "vocabulary_files": dict.fromkeys(vocabularies, "")},
        None,
        handmade("dlrm", InputShape(schema.dense_width, schema.num_categories, WIDTH)),
        Recipe(),
        (0,),
        None if test is None else SplitMetrics(test, test),
        {},
    )
    return Exported(Path("model.pt"), card, schema, rows, vocabularies, Network())


def vocabulary_of(values: pa.Array) -> Vocabulary:
    """A vocabulary that numbers these values from row 2 on."""
    keys = category_keys(values)[0]
    order = numpy.argsort(keys)
    return keys[order], (2 + order).astype(numpy.int32)


def random_rows(count: int, seed: int) -> pa.Table:
    """Rows of SCHEMA; some values are missing."""
    generator = numpy.random.default_rng(seed)

    def column(values: numpy.ndarray, kind: pa.DataType) -> pa.Array:
        return pa.array(values.tolist(), kind, mask=generator.random(count) < 0.1)

    names = numpy.array(["a", "bb", "ccc", "news.example", "ü", "eight888", "x" * 30])
    return pa.table(
        {
            "clicked": pa.array((generator.random(count) < 0.3).astype(int).tolist(), pa.int64()),
            "price": column(generator.integers(-3, 2_000, count), pa.int64()),
            "age": column(generator.integers(0, 4, count), pa.int64()),
            "score": column(generator.normal(0, 3, count), pa.float64()),
            "user": column(generator.integers(-20, 20, count), pa.int64()),
            "site": column(names[generator.integers(0, len(names), count)], pa.string()),
            "hour": column(14_102_100 + generator.integers(0, 24, count), pa.int64()),
        }
    )
