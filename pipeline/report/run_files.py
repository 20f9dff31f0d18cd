"""Reads a run's folder for the report. Every file but config.json may be absent; one that is there must be whole.

What is broken is a ValueError naming the file (and the line), the field, and what was found.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modules.space import Architecture, InputShape
from pipeline.report.run_values import (
    Candidate,
    Codesign,
    Model,
    OperatorMapping,
    Point,
    Quality,
    Results,
    Run,
    TrainingStep,
    Winners,
)
from pipeline.run.files import read_json


class _Fields:
    """A JSON object whose fields are read by type; every error names the place and the field."""

    def __init__(self, where: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{where}: found {_found(value)}, expected an object; write the file again")
        self.where, self.value = where, value

    def get(self, key: str, kind: type | tuple[type, ...], expected: str) -> Any:
        if key not in self.value:
            raise ValueError(f"{self.where}: field {key!r} is missing; run the stage that writes this file again")
        value = self.value[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{self.where}: field {key!r}: found {_found(value)}, expected {expected}")
        return value

    def text(self, key: str) -> str:
        return str(self.get(key, str, "a text"))

    def integer(self, key: str) -> int:
        return int(self.get(key, int, "a whole number"))

    def number(self, key: str) -> float:
        value = float(self.get(key, (int, float), "a number"))
        if not math.isfinite(value):
            raise ValueError(f"{self.where}: field {key!r}: found {value}, expected a finite number")
        return value

    def number_or_null(self, key: str) -> float | None:
        if self.value.get(key, 0) is None:
            return None
        return self.number(key)

    def optional_number(self, key: str) -> float | None:
        return None if self.value.get(key) is None else self.number(key)

    def mapping(self, key: str) -> "_Fields":
        return _Fields(f"{self.where}, {key}", self.get(key, dict, "an object"))

    def items(self, key: str) -> list["_Fields"]:
        values = self.get(key, list, "a list")
        return [_Fields(f"{self.where}, {key}[{index}]", value) for index, value in enumerate(values)]

    def architecture(self, key: str = "architecture") -> Architecture:
        try:
            return Architecture.from_json(self.get(key, dict, "an architecture"))
        except ValueError as error:
            raise ValueError(f"{self.where}: field {key!r}: {error}") from error


def _found(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_run(folder: Path) -> Run:
    """Read the run's folder. Raises ValueError for a folder that is no run's, or a broken file."""
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise ValueError(f"{folder}: no config.json there, so this is no run's folder; give the folder of a run")
    files = ["metrics.jsonl", "candidates.jsonl", "winners.json", "results.json", "codesign.json", "model.json"]
    missing = tuple(name for name in files if not (folder / name).is_file())
    config = _Fields(str(config_path), read_json(config_path)).value
    card = _document(folder / "model.json")
    winners, results, codesign = (_document(folder / f"{name}.json") for name in ("winners", "results", "codesign"))
    timings = _document(folder / "timings.json")
    model_card = {} if card is None else card.value
    return Run(
        name=folder.resolve().name,
        config=config,
        steps=tuple(map(_step, _lines(folder / "metrics.jsonl", appended=True))),
        timings={} if timings is None else _timings(timings),
        candidates=tuple(map(_candidate, _lines(folder / "candidates.jsonl"))),
        winners=None if winners is None else _winners(winners),
        results=None if results is None else _results(results),
        codesign=None if codesign is None else _codesign(codesign),
        model_card=model_card,
        shape=_shape(config, model_card),
        missing=missing,
    )


def _document(path: Path) -> _Fields | None:
    return _Fields(str(path), read_json(path)) if path.is_file() else None


def _lines(path: Path, appended: bool = False) -> Iterator[_Fields]:
    """The objects of a .jsonl file, none if it is absent; where it is `appended` to, a last line that was cut by a
    kill, or is being written just now, is left out."""
    if not path.is_file():
        return
    with open(path, "rb") as handle:
        for number, line in enumerate(handle, start=1):
            if appended and not line.endswith(b"\n"):
                return
            where = f"{path}, line {number}"
            try:
                value = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{where}: not JSON: {error}; repair or remove the line") from error
            yield _Fields(where, value)


def _step(line: _Fields) -> TrainingStep:
    train, valid = line.optional_number("train_log_loss"), line.optional_number("valid_log_loss")
    return TrainingStep(line.text("stage"), line.integer("rows"), train, valid)


def _timings(document: _Fields) -> dict[str, dict[str, float]]:
    stages = document.mapping("stages")
    found = {}
    for stage in stages.value:
        figures = stages.mapping(stage)
        found[stage] = {key: figures.number(key) for key in figures.value}
    return found


def _candidate(item: _Fields) -> Candidate:
    return Candidate(
        index=item.integer("index"),
        generation=item.integer("generation"),
        architecture=item.architecture(),
        score=item.number("score"),
        multiply_accumulates=item.integer("multiply_accumulates"),
        parameters=item.integer("parameters"),
    )


def _winners(document: _Fields) -> Winners:
    winners = tuple(map(_candidate, document.items("winners")))
    supernet = document.optional_number("supernet_valid_log_loss")
    return Winners(document.text("space"), document.text("strategy"), supernet, winners)


def _quality(item: _Fields) -> Quality:
    return Quality(
        log_loss=item.number("log_loss"),
        auc=item.number_or_null("auc"),
        normalized_entropy=item.number_or_null("normalized_entropy"),
        calibration=item.number_or_null("calibration"),
        rows=item.integer("rows"),
    )


def _model(item: _Fields) -> Model:
    return Model(
        name=item.text("name"),
        kind=item.text("kind"),
        title=item.text("title"),
        architecture=None if item.value.get("architecture") is None else item.architecture(),
        supernet_score=item.optional_number("supernet_score"),
        multiply_accumulates=item.integer("multiply_accumulates"),
        parameters=item.integer("parameters"),
        valid=_quality(item.mapping("valid")),
        test=_quality(item.mapping("test")),
    )


def _results(document: _Fields) -> Results:
    models = tuple(map(_model, document.items("models")))
    best = document.text("best")
    found = [model for model in models if model.name == best]
    if not found:
        names = [model.name for model in models]
        raise ValueError(f"{document.where}: field 'best': {best!r} is none of the models {names}")
    return Results(
        models=models,
        best=found[0],
        oracle_test_log_loss=document.optional_number("oracle_test_log_loss"),
        train_rows=document.integer("train_rows"),
        test_rows=document.integer("test_rows"),
        label_ratio=document.number("label_ratio"),
    )


def _point(item: _Fields) -> Point:
    breakdown = item.mapping("energy_breakdown_nj")
    return Point(
        label=item.text("label"),
        log_loss=item.optional_number("log_loss"),
        **{name: item.number(name) for name in _POINT_NUMBERS},
        hardware=item.mapping("hardware").value,
        operators=tuple(map(_operator_mapping, item.items("operators"))),
        energy_breakdown_nj={key: breakdown.number(key) for key in breakdown.value},
    )


_POINT_NUMBERS = (
    "latency_us",
    "throughput_per_s",
    "energy_nj",
    "area_mm2",
    "embedding_area_mm2",
    "power_w",
    "utilization",
)


def _operator_mapping(item: _Fields) -> OperatorMapping:
    bits = item.integer("weight_bits"), item.integer("activation_bits")
    return OperatorMapping(item.text("name"), *bits, item.integer("dup"))


def _codesign(document: _Fields) -> Codesign:
    rows = document.value.get("quality_rows")
    return Codesign(
        model=document.text("model"),
        preset=document.text("preset"),
        quality_rows=None if rows is None else document.integer("quality_rows"),
        float_log_loss=document.optional_number("float_log_loss"),
        pareto=tuple(map(_point, document.items("pareto"))),
        evaluated=tuple(map(_point, document.items("evaluated"))),
        naive=_point(document.mapping("naive")),
        baselines=tuple((item.text("title"), _point(item.mapping("point"))) for item in document.items("baselines")),
        presets=tuple((item.text("preset"), _point(item.mapping("point"))) for item in document.items("presets")),
    )


def _shape(config: dict[str, Any], model_card: dict[str, Any]) -> InputShape | None:
    """The network's input shape, from model.json's schema and the embedding width that either file names."""
    schema = model_card.get("schema")
    width = _search(model_card, "embedding_width") or _search(config, "embedding_width")
    if not isinstance(schema, dict) or not isinstance(width, int):
        return None
    integers, categories = schema.get("integers"), schema.get("categories")
    if not isinstance(integers, list) or not isinstance(categories, list) or not categories:
        return None
    return InputShape(max(len(integers), 1), len(categories), width)


def _search(value: Any, key: str) -> Any:
    """The first value under `key` anywhere in nested objects."""
    if isinstance(value, dict):
        if key in value:
            return value[key]
        found = (_search(inner, key) for inner in value.values())
        return next((inner for inner in found if inner is not None), None)
    return None
