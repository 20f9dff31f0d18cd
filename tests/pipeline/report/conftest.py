"""A run's folder as the contract has it, made up with the real samplers and counters: what the report's tests read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from modules.space import (
    NASREC_FULL,
    InputShape,
    SearchSpace,
    multiply_accumulates,
    parameter_count,
    single_operator_any_connection,
)
from pipeline.run.files import write_json
from pipeline.run.records.codec import RUN_FORMAT
from pipeline.run.records.model_card import ModelCard

BASELINES = (("dlrm", "DLRM"), ("dlrm_dcn", "DLRM + DCN-v2"), ("deepfm", "DeepFM"))


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


def quality(log_loss: float, rows: int, generator: numpy.random.Generator) -> dict[str, Any]:
    """One model's metrics on one split."""
    return {
        "log_loss": log_loss,
        "auc": 0.8011 - 0.9 * (log_loss - 0.4550) + float(generator.normal(0, 0.0003)),
        "normalized_entropy": log_loss / 0.5620,
        "calibration": 1 + float(generator.normal(0, 0.01)),
        "rows": rows,
    }


def model(
    name: str, title: str, loss: float, found: dict[str, Any] | None, generator: numpy.random.Generator
) -> dict[str, Any]:
    """An entry of results.json: a winner where `found` is its candidate, else a baseline."""
    return {
        "name": name,
        "kind": "winner" if found else "baseline",
        "title": title,
        "architecture": found["architecture"] if found else None,
        "supernet_score": found["score"] if found else None,
        "multiply_accumulates": found["multiply_accumulates"] if found else int(generator.integers(400_000, 3_000_000)),
        "parameters": found["parameters"] if found else int(generator.integers(300_000, 2_500_000)),
        "valid": quality(loss - 0.0011, 20_000, generator),
        "test": quality(loss, 20_000, generator),
    }


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
        "model": "winner_1",
        "preset": "isaac32",
        "measurements": 60,
        "quality_rows": 8192,
        "float_log_loss": 0.4518,
        "pareto": front,
        "evaluated": evaluated,
        "naive": point("naive", operators, 1.0, 0.4521, generator),
        "baselines": [
            {
                "name": name,
                "title": title,
                "point": point(name, operators, float(generator.uniform(0.5, 1.6)), 0.456, generator),
            }
            for name, title in BASELINES
        ],
        "presets": [
            {"preset": preset, "point": point(preset, operators, scale, None, generator)}
            for preset, scale in (("isaac32", 1.0), ("mnsim", 2.9), ("neurosim32", 0.21))
        ],
    }


def metrics(stages: list[str], generator: numpy.random.Generator) -> list[dict[str, Any]]:
    """metrics.jsonl: a falling log loss a stage."""
    lines = []
    for stage in stages:
        floor = float(generator.uniform(0.452, 0.459)) + 0.012 * (stage == "supernet")
        for step in range(1, 401):
            rows = step * 256
            loss = floor + 0.24 * float(numpy.exp(-step / 25)) + float(generator.normal(0, 0.008))
            lines.append({"stage": stage, "step": step, "rows": rows, "train_log_loss": loss, "learning_rate": 0.12})
    return lines


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    """Write a .jsonl file."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def write_run(
    folder: Path, seed: int = 0, space: SearchSpace = NASREC_FULL, shape: InputShape | None = None, count: int = 240
) -> Path:
    """Write a complete run's folder and return it."""
    shape = shape or InputShape(13, 26, 16)
    generator = numpy.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    candidates = [candidate(index, index // 40, space, shape, generator) for index in range(count)]
    picked = sorted(candidates, key=lambda one: one["score"])[:5]
    models = [
        model(f"winner_{place}", f"Winner {place}", 0.4520 + 0.0004 * place, one, generator)
        for place, one in enumerate(picked, start=1)
    ]
    models += [model(*names, 0.4556 + float(generator.normal(0, 0.0012)), None, generator) for names in BASELINES]
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
    write_lines(
        folder / "metrics.jsonl",
        metrics(["supernet", *(f"retrain/{one['kind']}/{one['name']}" for one in models)], generator),
    )
    write_lines(folder / "candidates.jsonl", candidates)
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
    write_json(
        folder / "results.json",
        {
            "format": RUN_FORMAT,
            "models": models,
            "best": "winner_1",
            "oracle_test_log_loss": 0.4468,
            "train_rows": 160_000,
            "test_rows": 20_000,
            "label_ratio": 0.2534,
        },
    )
    write_json(
        folder / "codesign.json",
        codesign([block["dense_operators"][0] for block in picked[0]["architecture"]["blocks"]], generator),
    )
    write_json(
        folder / "model.json",
        {
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
            "numbering": {},
            "architecture": picked[0]["architecture"],
            "recipe": {},
            "metrics": {"valid": models[0]["valid"], "test": models[0]["test"]},
            "versions": {},
        },
    )
    timings = {
        "data": {"wall_s": 4.1, "cpu_s": 7.9, "peak_gb": 0.6},
        "supernet": {"wall_s": 131.5, "cpu_s": 250.2, "peak_gb": 1.9},
        "search": {"wall_s": 88.0, "cpu_s": 170.0, "peak_gb": 2.2},
        "retrain": {"wall_s": 141.0, "cpu_s": 271.0, "peak_gb": 1.4},
        "codesign": {"wall_s": 61.0, "cpu_s": 100.0, "peak_gb": 1.1},
    }
    write_json(folder / "timings.json", {"format": RUN_FORMAT, "stages": timings})
    return folder


@pytest.fixture(name="write_run")
def write_run_fixture() -> Callable[..., Path]:
    """The function that writes a complete run's folder."""
    return write_run


@pytest.fixture(scope="session", name="finished_run")
def finished_run_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run's folder, written once; tests that change it copy it first."""
    return write_run(tmp_path_factory.mktemp("runs") / "finished", count=24)
