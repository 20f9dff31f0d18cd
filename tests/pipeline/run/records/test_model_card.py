"""pipeline/run/records/model_card.py: model.json comes back from its file, and is strict."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy
import pytest

from modules.space import NASREC_FULL, NASREC_SMALL, OPEN, InputShape, SearchSpace, single_operator_any_connection
from modules.space.handmade import handmade
from pipeline.run.records.codec import read_record, write_record
from pipeline.run.records.model_card import ExportedFile, FileCheck, ModelCard, ModelFile, RawExample, RawRowsCard
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.results import Metrics, SplitMetrics

METRICS = SplitMetrics(Metrics(0.1 + 0.2, None, 0.9, None, 10), Metrics(1 / 3, 0.7, None, 1.0, 11))
HANDMADE = ModelCard(
    model=ModelFile("model.pt", "0f" * 32, 2**40),
    inputs=({"name": "dense", "shape": [None, 13], "columns": ["a"]}, {"name": "ids", "tables": {"t": 10}}),
    output={"type": "float32", "shape": [None]},
    schema={"name": "small", "table_sizes": [10]},
    numbering={"kind": "hashed", "sizes": {"t": None}},
    raw_rows=RawRowsCard(
        code=ModelFile("raw_rows.py", "1e" * 32, 10),
        vocabulary=ModelFile("vocabulary.bin", "2d" * 32, 12),
        vocabulary_values={"user": 1},
        examples=(RawExample({"a": 3, "user": "ü", "item": None}, (1.5,), (2, 0), 0.25),),
    ),
    architecture=handmade("dlrm", InputShape(13, 26, 16)),
    recipe=Recipe(embedding_width=32, epochs=3, tables="fresh", table_learning_rate=0.1 + 0.2),
    seeds=(2, 0),
    metrics=METRICS,
    versions={"torch": "2"},
    files=(
        ExportedFile("model.pt", "0f" * 32, 2**40, "torchscript", "int8", "fp32", FileCheck(10, 0.1, 0.2, -0.3, None)),
        ExportedFile("model.onnx", "3c" * 32, 7, "onnx", "int8", "fp32", FileCheck(10, 0.1, 0.2, -0.3, 1 / 3)),
    ),
)


def card_of(space: SearchSpace) -> ModelCard:
    """The card of a searched model."""
    architecture = single_operator_any_connection(space, numpy.random.default_rng(2))
    return dataclasses.replace(HANDMADE, architecture=architecture)


def changed(path: Path, **changes: Any) -> None:
    """Change fields of the JSON document."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("space", [NASREC_SMALL, OPEN], ids=lambda space: space.name)
def test_what_is_written_is_read(tmp_path: Path, space: SearchSpace) -> None:
    """Searched or hand-made, evaluated or not, the card is equal to itself after its file."""
    path = tmp_path / "model.json"
    for card in (card_of(space), HANDMADE, dataclasses.replace(HANDMADE, metrics=None, raw_rows=None)):
        write_record(path, card)
        assert read_record(path, ModelCard, space) == card


def test_its_format_is_its_own(tmp_path: Path) -> None:
    """The file says the card's own version first, and one of another version is refused."""
    path = tmp_path / "model.json"
    write_record(path, HANDMADE)
    assert next(iter(json.loads(path.read_text()).items())) == ("format", ModelCard.FORMAT)
    changed(path, format=ModelCard.FORMAT + 1)
    with pytest.raises(ValueError, match=rf"model\.json: field 'format': found {ModelCard.FORMAT + 1}, "):
        read_record(path, ModelCard, NASREC_SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"file": "model.pt", "sha256": "0", "bytes": 1.5}}, r"'model\.bytes': found 1\.5"),
        ({"inputs": {"name": "dense"}}, "'inputs': found .*expected a list"),
        ({"seeds": [0.5]}, "seeds.*: found 0.5, expected a whole number"),
        ({"versions": {"torch": 2}}, "versions.*: found 2, expected a text"),
        ({"metrics": {"valid": None, "test": None}}, r"'metrics\.valid': found null"),
        ({"files": [{"file": "model.pt"}]}, r"'files\[0\]\.sha256': is missing"),
        ({"note": ""}, r"unknown fields \['note'\]"),
    ],
)
def test_what_is_no_card(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """A value of another type and an unknown field are ValueErrors naming the file and the field."""
    path = tmp_path / "model.json"
    write_record(path, HANDMADE)
    changed(path, **change)
    with pytest.raises(ValueError, match=rf"model\.json: .*{message}"):
        read_record(path, ModelCard, NASREC_SMALL)


def test_an_architecture_of_another_space(tmp_path: Path) -> None:
    """Its card is not read with the wrong space; the open one alone is every run's."""
    path = tmp_path / "model.json"
    write_record(path, card_of(NASREC_FULL))
    with pytest.raises(ValueError, match=r"model\.json: field 'architecture': "):
        read_record(path, ModelCard, NASREC_SMALL)
