"""A log with lists, end to end: prepared or raw, trained, exported, its raw rows scored as the trained model does."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.embeddings import embed
from modules.space.handmade import handmade
from pipeline.command_line import read_command_line
from pipeline.data.config import DataConfig
from pipeline.data.dataset import Dataset
from pipeline.data.describe import DescribeConfig, describe
from pipeline.data.prepare.config import PrepareConfig
from pipeline.data.prepare.prepare import prepare
from pipeline.data.schema import Schema
from pipeline.evaluation.config import EvaluateConfig, LogConfig
from pipeline.evaluation.evaluate import evaluate
from pipeline.export import _export, _newest_checkpoint
from pipeline.run.files import read_json
from pipeline.run.processes import join
from pipeline.run.records.model_card import Provenance
from pipeline.run.records.recipe import Recipe
from pipeline.serving.raw_rows import RawRows
from pipeline.session import Session, open_session
from pipeline.training.standalone import Contender, build, train_standalone
from pipeline.trees import frequent_values, read_rows

ROWS = 3_000
RECIPE = Recipe(embedding_width=8, batch_size=64, epochs=2)


def films() -> dict[str, list[Any]]:
    """A log whose label hangs on the mean over a row's genres; whole-number lists, numbers and text beside them."""
    draw = np.random.default_rng(0)
    effects = np.linspace(-5, 5, 9)
    genres = [draw.integers(0, 9, draw.integers(0, 6)) for _ in range(ROWS)]
    logits = np.array([effects[own].mean() if len(own) else 0.0 for own in genres])
    return {
        "label": (draw.random(ROWS) < 1 / (1 + np.exp(-logits))).astype(int).tolist(),
        "int_0": draw.integers(0, 99, ROWS).tolist(),
        "user": [f"u{value}" for value in draw.integers(0, 40, ROWS)],
        "genres": [[f"g{value}" for value in own] for own in genres],
        "history": [draw.integers(0, 60, draw.integers(0, 9)).tolist() for _ in range(ROWS)],
    }


def write_log(folder: Path, kind: str) -> list[str]:
    """The log as a bare Parquet file, as CSV, or prepared of that; the options that read it."""
    columns, schema = films(), folder / "schema.json"
    if kind == "parquet":
        pq.write_table(pa.table(columns), folder / "log.parquet", row_group_size=700)
        return ["--data.path", str(folder / "log.parquet")]
    texts = {
        name: ["|".join(map(str, row)) if isinstance(row, list) else str(row) for row in own]
        for name, own in columns.items()
    }
    lines = [",".join(row) for row in zip(*texts.values(), strict=True)]
    (folder / "log.csv").write_text("\n".join([",".join(texts), *lines]) + "\n")
    Schema(
        "films",
        "label",
        ("int_0",),
        ("user", "genres", "history"),
        (1000, 1000, 61),
        integer_ids=("history",),
        delimiter=",",
        lists=("genres", "history"),
        max_list_values=(8, 6),
    ).save(schema)
    if kind == "csv":
        return ["--data.path", str(folder / "log.csv"), "--data.schema", str(schema)]
    numbering: Any = "vocabulary"
    prepare(PrepareConfig(str(folder / "log.csv"), str(schema), str(folder / "prepared"), numbering, processes=1))
    return ["--data.path", str(folder / "prepared")]


def exported(session: Session) -> Contender:
    """A small network, trained and exported."""
    architecture = handmade("dlrm", dataclasses.replace(session.shape, embedding_width=RECIPE.embedding_width))
    contender = build(session, "trained", "dlrm", architecture, RECIPE)
    trained = train_standalone(contender)
    provenance = Provenance(session.dataset.numbering, architecture, RECIPE, (0,), trained.metrics)
    _export(session, [contender], [_newest_checkpoint(session, "trained")], provenance)
    return contender


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("parquet", "prepared")]


@pytest.mark.parametrize("kind", ["csv", *SLOW])
def test_end_to_end(tmp_path: Path, kind: str) -> None:
    """The network learns what the lists say; model.pt on encoded raw rows (on ids, of a prepared log) gives the trained
    model's probabilities within 1e-6; an evaluation on the same rows finds the same log loss; trees read the lists."""
    options = [*write_log(tmp_path, kind), "--runs", str(tmp_path / "runs"), "--run", "one", "--device", "cpu"]
    with join("cpu") as processes, open_session(read_command_line("program", options), processes) as session:
        dataset, network = session.dataset, exported(session)
        metrics = train_standalone(network).metrics
        assert metrics.test.auc is not None and metrics.test.auc > 0.65
        (batch,) = dataset.stream("test", 10_000, drop_last=False)
        tables = train_standalone(network).trainee.embeddings
        with torch.no_grad():
            expected = network.network.eval()(batch.dense, embed(tables, batch.sparse)).sigmoid()
        raw, ids = dataset.raw_rows("test", 10_000), batch.padded_ids(dataset.schema.id_places)
        _trees_see_lists(session, ids)
    folder = tmp_path / "runs" / "one"
    model: Any = torch.jit.load(str(folder / "model.pt"))
    torch.testing.assert_close(model(batch.dense, ids), expected, rtol=0, atol=1e-6)
    card = read_json(folder / "model.json")
    assert card["inputs"][1]["places"] == list(dataset.schema.id_places)
    evaluate(EvaluateConfig(str(folder), LogConfig(path=options[1]), output=str(tmp_path / "evaluation")), "command")
    found = read_json(tmp_path / "evaluation" / "evaluation.json")
    assert found["overall"]["metrics"]["rows"] == ROWS
    assert found["overall"]["metrics"]["log_loss"] == pytest.approx(_log_loss(model, dataset), rel=1e-5)
    if kind == "prepared":
        assert not raw
        return
    dense, encoded, errors = RawRows.load(folder / "model.json").encode_all(json.loads(json.dumps(raw)))
    assert not errors and encoded == ids.tolist()
    torch.testing.assert_close(model(torch.tensor(dense), torch.tensor(encoded)), expected, rtol=0, atol=1e-6)
    (example, *_) = card["raw_rows"]["examples"]
    assert (example["row"], example["ids"]) == (raw[0], encoded[0])
    with pytest.raises(ValueError, match=r"ids\[0, 1\] is -1; table t_genres has the rows 0 to"):
        _refused(model, batch.dense, ids)
    (genres,) = [one for one in found["categories"] if one["column"] == "genres"]
    first = max({f"g{value}" for value in range(9)}, key=lambda one: sum(one in row for row in films()["genres"]))
    assert genres["values"][0]["value"] == first and genres["others"] is None
    assert genres["values"][0]["group"]["rows"] == sum(first in row for row in films()["genres"])


def _log_loss(model: Any, dataset: Dataset) -> float:
    """Of all rows, as the streams number them."""
    losses = list[torch.Tensor]()
    for split in ("train", "valid", "test"):
        with dataset.stream(split, 500, drop_last=False) as stream:
            for batch in stream:
                found = model.logit(batch.dense, batch.padded_ids(dataset.schema.id_places))
                losses.append(binary_cross_entropy_with_logits(found.double(), batch.label.double(), reduction="none"))
    return float(torch.cat(losses).mean())


def _refused(model: Any, dense: torch.Tensor, ids: torch.Tensor) -> None:
    """The model on a list without an id in its first place, which each list has."""
    ids = ids.clone()
    ids[0, 1] = -1
    try:
        model(dense, ids)
    except torch.jit.Error as error:
        raise ValueError(str(error)) from error


def _trees_see_lists(session: Session, ids: torch.Tensor) -> None:
    """Trees get integers, single ids, and of each list its length and whether it has each frequent value."""
    frequent = frequent_values(session.dataset)
    features, *_ = read_rows(session.dataset, "test", frequent)
    _, places, others = session.dataset.schema.id_places
    lists = {"genres": ids[:, 1 : 1 + places], "history": ids[:, -others:]}
    columns = [features[:, 0], ids[:, 0].numpy()]
    for name, own in lists.items():
        columns.append((own > 0).sum(1).numpy())
        columns += [(own == int(value)).any(1).numpy() for value in frequent[name]]
    assert (features == np.stack(columns, axis=1)).all() and len(frequent["genres"]) == 9


def test_described(tmp_path: Path) -> None:
    """A bare file's lists are proposed as such, and their lengths are shown; so are those of text by a schema."""
    path, schema = write_log(tmp_path, "csv")[1::2]
    write_log(tmp_path, "parquet")
    for config in (
        DescribeConfig(DataConfig(path=str(tmp_path / "log.parquet")), write=str(tmp_path / "proposed.json")),
        DescribeConfig(DataConfig(path=path, schema=schema)),
    ):
        (line,) = [line for line in describe(config).splitlines() if line.startswith("genres ")]
        lengths = [len(row) for row in films()["genres"]]
        assert "list of text, 8 kept" in line
        assert f"{np.mean(lengths):.3g} values a row, up to 5" in line
        assert f"{100 * lengths.count(0) / ROWS:.3g} %" in line
    proposed = Schema.load(str(tmp_path / "proposed.json"))
    assert (proposed.lists, proposed.max_list_values) == (("genres", "history"), (8, 8))
    assert proposed.integer_ids == ("history",)
