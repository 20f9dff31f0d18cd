"""A run's folder as the contract has it, made up with the real samplers and counters: what the report's tests read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from modules.space import (
    NASREC_FULL,
    Architecture,
    InputShape,
    SearchSpace,
    multiply_accumulates,
    parameter_count,
    single_operator_any_connection,
)
from modules.space.handmade import handmade
from pipeline.run.files import write_json
from pipeline.run.folder import RunFolder
from pipeline.run.records.codec import RUN_FORMAT, to_plain, write_lines, write_record
from pipeline.run.records.model_card import ModelCard
from pipeline.run.records.progress import MetricsLine
from pipeline.run.records.race import Finalist, RaceResult, Trial
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.results import Comparison, Metrics, ModelKind, ModelResult, Results, SplitMetrics

HANDMADE = (("dlrm", "DLRM"), ("dcn_v2", "DCN-v2"), ("deepfm", "DeepFM"))
TIMINGS = {
    "data": {"wall_s": 4.1, "cpu_s": 7.9, "peak_gb": 0.6},
    "supernet": {"wall_s": 131.5, "cpu_s": 250.2, "peak_gb": 1.9},
    "search": {"wall_s": 88.0, "cpu_s": 170.0, "peak_gb": 2.2},
    "race": {"wall_s": 240.0, "cpu_s": 470.0, "peak_gb": 1.2},
    "retrain": {"wall_s": 141.0, "cpu_s": 271.0, "peak_gb": 1.4},
    "codesign": {"wall_s": 61.0, "cpu_s": 100.0, "peak_gb": 1.1},
}


def candidate(
    index: int, generation: int, space: SearchSpace, shape: InputShape, generator: numpy.random.Generator
) -> dict[str, Any]:
    """A line of candidates.jsonl; later generations score a little better."""
    architecture = single_operator_any_connection(space, generator)
    return {
        "index": index,
        "generation": generation,
        "architecture": architecture.to_json(),
        "score": 0.4712 - 0.0006 * generation + float(generator.gamma(2.0, 0.0012)),
        "multiply_accumulates": multiply_accumulates(architecture, shape),
        "parameters": parameter_count(architecture, shape),
        "state": "scored",
    }


def quality(log_loss: float, generator: numpy.random.Generator) -> Metrics:
    """One training's metrics on one split."""
    auc = 0.8011 - 0.9 * (log_loss - 0.4550) + float(generator.normal(0, 0.0003))
    return Metrics(log_loss, auc, log_loss / 0.5620, 1 + float(generator.normal(0, 0.01)), 20_000)


def split_metrics(log_loss: float, generator: numpy.random.Generator) -> SplitMetrics:
    """One training's metrics; validation is a little better."""
    return SplitMetrics(quality(log_loss - 0.0011, generator), quality(log_loss, generator))


def model(
    finalist: Finalist, title: str, loss: float, shape: InputShape, generator: numpy.random.Generator
) -> ModelResult:
    """An entry of results.json with three seeds around a test log loss."""
    own = InputShape(shape.integers, shape.fields, finalist.recipe.embedding_width)
    return ModelResult(
        name=finalist.name,
        kind=finalist.kind,
        title=title,
        origin=finalist.origin,
        architecture=finalist.architecture,
        recipe=finalist.recipe,
        supernet_score=finalist.supernet_score,
        multiply_accumulates=multiply_accumulates(finalist.architecture, own),
        parameters=parameter_count(finalist.architecture, own),
        table_bytes=4 * 10_000 * shape.fields * own.embedding_width,
        lookup_bytes=4 * shape.fields * own.embedding_width,
        trials=finalist.trials,
        rows=finalist.rows,
        seeds=tuple(split_metrics(loss + step, generator) for step in (-0.0003, 0.0, 0.0003)),
        ensemble=split_metrics(loss - 0.0015, generator),
    )


def finalist(
    name: str, kind: ModelKind, architecture: Architecture, loss: float, width: int, score: float | None = None
) -> Finalist:
    """A finalist of the race."""
    recipe = Recipe(epochs=3, tables="fresh", table_prior_count=128.0, table_learning_rate=1.6, embedding_width=width)
    origin = "mutation: a block inserted" if kind == "searched" else f"{kind} model"
    return Finalist(name, kind, origin, architecture, recipe, 0, loss, score, 12, 1_920_000)


def results(models: list[ModelResult], generator: numpy.random.Generator) -> Results:
    """results.json: the first model is the best."""
    comparisons = []
    for other in models[1:]:
        difference, half = models[0].test.log_loss - other.test.log_loss, float(generator.uniform(0.0008, 0.0015))
        comparisons.append(Comparison(other.name, other.kind, difference, difference - half, difference + half))
    return Results(tuple(models), models[0].title, tuple(comparisons), 0.4468, 160_000, 20_000, 0.2534)


def trials(architectures: list[Architecture], shape: InputShape, generator: numpy.random.Generator) -> list[Trial]:
    """race.jsonl: all are screened, every third then trained whole; the hand-made ones whole; one fails."""
    found: list[Trial] = []

    def trial(kind: ModelKind, name: str, architecture: Architecture, share: float, width: int) -> None:
        loss = 0.458 + 0.02 * (1 - share) + 0.16 / width + float(generator.gamma(2.0, 0.0015))
        found.append(
            Trial(
                index=len(found),
                round="entrants" if share < 1 else "promotion",
                contender=name,
                kind=kind,
                origin="random" if kind == "searched" else f"{kind} model",
                architecture=architecture,
                recipe=Recipe(embedding_width=width),
                row_share=share,
                rows=round(160_000 * share),
                valid_log_loss=None if len(found) == 4 else loss,
                failure="a logit is nan: the model has diverged" if len(found) == 4 else "",
                multiply_accumulates=multiply_accumulates(architecture, shape),
                parameters=parameter_count(architecture, shape),
                supernet_score=None,
            )
        )

    for name, _ in HANDMADE:
        trial("handmade", name, handmade(name, shape), 1.0, 16)
    for number, architecture in enumerate(architectures, start=1):
        width = int(generator.choice([8, 16, 32]))
        trial("searched", f"random_{number}", architecture, 0.25, width)
        if number % 3 == 1:
            trial("searched", f"random_{number}", architecture, 1.0, width)
    return found


def point(
    label: str, operators: list[str], scale: float, loss: float | None, generator: numpy.random.Generator
) -> dict[str, Any]:
    """A mapping whose costs lie around `scale` times the naive one's."""
    energy, latency = 212.0 * scale, 31.0 * scale ** float(generator.uniform(0.4, 1.3))
    parts = {"adc": 0.62, "array": 0.09, "dac": 0.07, "buffer": 0.1, "digital": 0.08, "leakage": 0.04}
    names = [f"blocks.{index}.dense.{operator}" for index, operator in enumerate(operators)]
    return {
        "label": label,
        "log_loss": loss,
        "latency_us": latency,
        "throughput_per_s": 1.7e6 / latency,
        "energy_nj": energy,
        "area_mm2": 11.0 * scale ** float(generator.uniform(-0.2, 0.8)),
        "embedding_area_mm2": 4.25,
        "power_w": energy / latency / 1e3,
        "utilization": float(generator.uniform(0.3, 0.95)),
        "arrays": int(generator.integers(50, 500)),
        "hardware": {
            "preset": "isaac32",
            "rows": int(generator.choice([64, 128, 256])),
            "cell_bits": int(generator.choice([1, 2, 4])),
            "dac_bits": 1,
            "adc_bits": int(generator.integers(5, 10)),
            "differential": True,
            "interaction": "digital",
        },
        "operators": [
            {
                "name": name,
                "weight_bits": int(generator.choice([4, 6, 8])),
                "activation_bits": int(generator.choice([4, 6, 8])),
                "dup": int(generator.choice([1, 2, 4, 8])),
            }
            for name in names
        ],
        "energy_breakdown_nj": {part: energy * share for part, share in parts.items()},
        "area_breakdown_mm2": {part: 11.0 * share for part, share in parts.items()},
    }


def codesign(operators: list[str], generator: numpy.random.Generator) -> dict[str, Any]:
    """codesign.json with the Pareto points of 60."""

    def drawn(label: str) -> dict[str, Any]:
        scale = float(generator.uniform(0.22, 1.1))
        loss = 0.4519 + 0.0006 * (1.1 / scale - 1) ** 1.6 + float(generator.gamma(1.0, 0.0004))
        return point(label, operators, scale, loss, generator)

    evaluated = [drawn(f"m{index}") for index in range(60)]
    costs = numpy.array(
        [[one[key] for key in ("log_loss", "energy_nj", "latency_us", "area_mm2")] for one in evaluated]
    )
    front = [
        one
        for one, cost in zip(evaluated, costs, strict=True)
        if not ((costs <= cost).all(axis=1) & (costs < cost).any(axis=1)).any()
    ]
    evaluated.append({**drawn("unmeasured"), "log_loss": None})
    return {
        "format": RUN_FORMAT,
        "model": "searched_1",
        "preset": "isaac32",
        "limits": {"max_area_mm2": 60.0},
        "measurements": 60,
        "quality_rows": 8192,
        "float_log_loss": 0.4518,
        "pareto": front,
        "evaluated": evaluated,
        "naive": point("naive", operators, 1.0, 0.4521, generator),
        "handmade": [
            {
                "name": name,
                "title": title,
                "point": point(name, operators, float(generator.uniform(0.5, 1.6)), 0.456, generator),
                "pareto": [point(f"{name} pareto", operators, 0.4, 0.4562, generator)] if name != "dlrm" else [],
            }
            for name, title in HANDMADE
        ],
        "presets": [
            {"preset": preset, "point": point(preset, operators, scale, None, generator)}
            for preset, scale in (("isaac32", 1.0), ("mnsim", 2.9), ("neurosim32", 0.21))
        ],
    }


def metrics(stage: str, generator: numpy.random.Generator) -> list[MetricsLine]:
    """A stage's metrics.jsonl: a falling log loss."""
    floor, lines = float(generator.uniform(0.452, 0.459)) + 0.012 * (stage == "supernet"), []
    for step in range(1, 101):
        loss = floor + 0.24 * float(numpy.exp(-step / 25)) + float(generator.normal(0, 0.008))
        lines.append(MetricsLine(stage, step, step * 256, loss, 0.12))
    return lines


def model_card(best: ModelResult, shape: InputShape) -> dict[str, Any]:
    """model.json of the best model's first seed."""
    return {
        "format": ModelCard.FORMAT,
        "model": {"file": "model.pt", "sha256": "0" * 64, "bytes": 1},
        "inputs": [],
        "output": {},
        "schema": {
            "name": "criteo",
            "label": "label",
            "integers": [f"int_{index}" for index in range(shape.integers)],
            "categories": [f"cat_{index}" for index in range(shape.fields)],
            "table_sizes": [10_000] * shape.fields,
        },
        "raw_rows": None,
        "numbering": {},
        "architecture": best.architecture.to_json(),
        "recipe": to_plain(best.recipe),
        "seeds": [0],
        "metrics": to_plain(best.seeds[0]),
        "versions": {},
    }


def write_run(
    folder: Path, seed: int = 0, space: SearchSpace = NASREC_FULL, shape: InputShape | None = None, count: int = 240
) -> Path:
    """Write a complete run's folder and return it."""
    shape = shape or InputShape(13, 26, 16)
    generator = numpy.random.default_rng(seed)

    def space_architecture(one: dict[str, Any]) -> Architecture:
        return Architecture.from_json(one["architecture"], space)

    folder.mkdir(parents=True, exist_ok=True)
    candidates = [candidate(index, index // 40, space, shape, generator) for index in range(count)]
    picked = sorted(candidates, key=lambda one: one["score"])[:5]
    found = [
        finalist(f"searched_{place}", "searched", space_architecture(one), 0.451 + 0.0004 * place, 32, one["score"])
        for place, one in enumerate(picked, start=1)
    ]
    by_hand = [finalist(name, "handmade", handmade(name, shape), 0.455, 16) for name, _ in HANDMADE]
    titles = [*(f"Searched {place}" for place in range(1, len(found) + 1)), *(title for _, title in HANDMADE)]
    losses = [*(0.4524 + 0.0004 * place for place in range(len(found))), *(0.4556, 0.4548, 0.4571)]
    models = [
        model(one, title, loss, shape, generator)
        for one, title, loss in zip((*found, *by_hand), titles, losses, strict=True)
    ]
    write_json(
        folder / "config.json",
        {
            "format": RUN_FORMAT,
            "run": folder.name,
            "seed": seed,
            "data": {"path": "", "schema": "", "rows": 200_000, "max_table_rows": 10_000},
            "model": {"space": space.name, "embedding_width": shape.embedding_width},
            "search": {"strategy": "evolution"},
        },
    )
    paths = RunFolder(folder)
    for stage in ("supernet", *(stage for one in models for stage in one.stages)):
        paths.metrics(stage).parent.mkdir(parents=True)
        write_lines(paths.metrics(stage), metrics(stage, generator))
    lines = [json.dumps(one) + "\n" for one in candidates]
    paths.candidates.write_text("".join(lines), encoding="utf-8")
    raced = trials([space_architecture(one) for one in candidates[:60]], shape, generator)
    write_lines(paths.race_trials, raced)
    rows, failed = sum(one.rows for one in raced), sum(one.valid_log_loss is None for one in raced)
    finalists = (*found, *by_hand)
    write_record(paths.race, RaceResult("tuned", space.name, 160_000, rows, len(raced), failed, finalists))
    write_json(
        folder / "winners.json",
        {
            "format": RUN_FORMAT,
            "space": space.name,
            "strategy": "evolution",
            "candidates": count,
            "supernet_valid_log_loss": 0.4731,
            "winners": picked,
        },
    )
    write_record(paths.results, results(models, generator))
    write_json(
        folder / "codesign.json",
        codesign([block["dense_operators"][0] for block in picked[0]["architecture"]["blocks"]], generator),
    )
    write_json(folder / "model.json", model_card(models[0], shape))
    write_json(folder / "timings.json", {"format": RUN_FORMAT, "stages": TIMINGS})
    return folder


@pytest.fixture(name="write_run")
def write_run_fixture() -> Callable[..., Path]:
    """The function that writes a complete run's folder."""
    return write_run


@pytest.fixture(scope="session", name="finished_run")
def finished_run_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run's folder, written once; tests that change it copy it first."""
    return write_run(tmp_path_factory.mktemp("runs") / "finished", count=24)
