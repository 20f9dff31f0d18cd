"""Reading a whole run: everything as written, and a clear error for whatever is broken."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modules.space import InputShape
from pipeline.report.run_records import read_run
from pipeline.run.records.codec import RUN_FORMAT

DOCUMENTS = ["config.json", "winners.json", "race.json", "results.json", "codesign.json", "model.json", "timings.json"]
LINES = ["checkpoints/supernet/metrics.jsonl", "candidates.jsonl", "race.jsonl"]


@pytest.fixture
def folder(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of a complete run's folder, to be broken."""
    return shutil.copytree(finished_run, tmp_path / "run")


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Apply `change` to a JSON file's document."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_reads_what_was_written(finished_run: Path) -> None:
    """Models, candidates, mappings and steps are those of the files."""
    run = read_run(finished_run)
    results = json.loads((finished_run / "results.json").read_text())
    codesign = json.loads((finished_run / "codesign.json").read_text())
    candidates = [json.loads(line) for line in (finished_run / "candidates.jsonl").read_text().splitlines()]
    aucs = [[seed["test"]["auc"] for seed in model["seeds"]] for model in results["models"]]
    assert [[seed.test.auc for seed in model.seeds] for model in run.results.models] == aucs
    assert run.results.best_model.title == results["best"]
    trials = [json.loads(line) for line in (finished_run / "race.jsonl").read_text().splitlines()]
    assert [trial.valid_log_loss for trial in run.trials] == [trial["valid_log_loss"] for trial in trials]
    assert run.race.trials == len(trials)
    assert [one.score for one in run.candidates] == [one["score"] for one in candidates]
    assert [json.loads(json.dumps(one.architecture.to_json())) for one in run.candidates] == [
        one["architecture"] for one in candidates
    ]
    assert [point.energy_nj for point in run.codesign.pareto] == [point["energy_nj"] for point in codesign["pareto"]]
    metrics = [path.read_text().splitlines() for path in finished_run.rglob("metrics.jsonl")]
    assert len(run.metrics) == sum(map(len, metrics)) and run.metrics[0].stage == "supernet"
    assert (run.shape, run.missing) == (InputShape(13, 26, 16), ())


def test_a_search_that_was_killed(folder: Path) -> None:
    """Of candidates.jsonl, which is appended to, a last line that was cut is left out."""
    path = folder / "candidates.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert len(read_run(folder).candidates) == whole.count(b"\n") - 1


@pytest.mark.parametrize("name", [*DOCUMENTS, "race.jsonl"])
def test_truncated_file_is_named(folder: Path, name: str) -> None:
    """A file cut in the middle is a ValueError that names it."""
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 - 1])
    with pytest.raises(ValueError, match=name):
        read_run(folder)


def test_last_step_cut_by_a_kill_is_left_out(folder: Path) -> None:
    """metrics.jsonl is appended to: a last line without its end is not read, those before it are."""
    path = folder / "checkpoints/retrain/handmade/dlrm/seed_0/metrics.jsonl"
    steps = read_run(folder).metrics
    path.write_bytes(path.read_bytes()[:-10])
    (lost,) = set(steps) - set(read_run(folder).metrics)
    assert lost == [step for step in steps if step.stage == "retrain/handmade/dlrm/seed_0"][-1]


@pytest.mark.parametrize("name", LINES)
def test_broken_line_is_numbered(folder: Path, name: str) -> None:
    """A line that is no JSON is named by its number."""
    lines = (folder / name).read_text().splitlines()
    lines[2] = lines[2][:20]
    (folder / name).write_text("\n".join(lines))
    with pytest.raises(ValueError, match=f"{name}, line 3: not JSON"):
        read_run(folder)


def test_missing_field_is_named(folder: Path) -> None:
    """A model without its AUC is named with the place and the field."""
    edit(folder / "results.json", lambda document: document["models"][1]["seeds"][0]["test"].pop("auc"))
    with pytest.raises(
        ValueError,
        match=r"results\.json: field 'models\[1\]\.seeds\[0\]\.test\.auc': is missing; repair the file, or remove it",
    ):
        read_run(folder)


@pytest.mark.parametrize("value", ["0.45", None, True, [0.45]])
def test_wrong_type_is_named(folder: Path, value: Any) -> None:
    """A log loss that is no number is named with what was found."""
    edit(folder / "results.json", lambda document: document["models"][0]["seeds"][1]["test"].update(log_loss=value))
    with pytest.raises(
        ValueError, match=r"field 'models\[0\]\.seeds\[1\]\.test\.log_loss': found .*, expected a number"
    ):
        read_run(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_are_finite(folder: Path, value: Any) -> None:
    """NaN and infinity, which Python's JSON reader lets pass, are refused."""
    edit(folder / "codesign.json", lambda document: document["naive"].update(energy_nj=value))
    with pytest.raises(
        ValueError, match=r"codesign\.json: field 'naive\.energy_nj': found (nan|inf), expected a finite number"
    ):
        read_run(folder)


def test_impossible_architecture_is_named(folder: Path) -> None:
    """An architecture with an input from a later block is named with its file and block."""

    def break_it(document: dict[str, Any]) -> None:
        document["winners"][0]["architecture"]["blocks"][1]["dense_inputs"] = [5]

    edit(folder / "winners.json", break_it)
    with pytest.raises(ValueError, match=r"winners\.json: field 'winners\[0\]\.architecture': block 2, dense_inputs"):
        read_run(folder)

    """results.json's `best` is the title of a model that is there."""


def test_networks_with_bits_are_of_a_run_that_draws_bits(folder: Path) -> None:
    """Read where the run's precision is mixed; of a run in floating point they are refused by name."""
    path = folder / "candidates.jsonl"
    first, *others = path.read_text().splitlines()
    document = json.loads(first)
    document["architecture"]["blocks"][0]["precision"] = {"dense": [4, 8], "sparse": [6, 6]}
    path.write_text("\n".join([json.dumps(document), *others]) + "\n")
    with pytest.raises(ValueError, match=r"line 1: .*block 1, precision, dense: W4A8 is not in"):
        read_run(folder)
    edit(folder / "config.json", lambda config: config["model"].update(precision="mixed"))
    precision = read_run(folder).candidates[0].architecture.blocks[0].precision
    assert str(precision.of("dense")) == "W4A8"


def test_best_is_one_of_the_models(folder: Path) -> None:
    """results.json's "`best` is the title of a model that is there."""
    edit(folder / "results.json", lambda document: document.update(best="Searched 9"))
    with pytest.raises(ValueError, match="'Searched 9', which is not one of the models"):
        read_run(folder)


def test_no_run(tmp_path: Path) -> None:
    """A folder without config.json is no run's."""
    with pytest.raises(ValueError, match=r"no config\.json"):
        read_run(tmp_path)


def test_no_integer_columns(folder: Path) -> None:
    """A log without integer columns has one constant dense input."""
    edit(folder / "model.json", lambda document: document["schema"].update(integers=[]))
    assert read_run(folder).shape == InputShape(1, 26, 16)


def test_without_model_card_there_is_no_shape(folder: Path) -> None:
    """The shape is not guessed."""
    (folder / "model.json").unlink()
    run = read_run(folder)
    assert (run.shape, run.missing) == (None, ("model.json",))


def test_a_run_of_another_version_is_refused(folder: Path) -> None:
    """Without a format version in config.json, or with another one, nothing of the folder is read."""
    for path in folder.glob("[!c]*.json*"):
        path.write_text("not to be read")
    edit(folder / "config.json", lambda document: document.update(format=99))
    with pytest.raises(ValueError, match=r"begun with another version of this program: config\.json has format 99"):
        read_run(folder)
    edit(folder / "config.json", lambda document: document.pop("format"))
    message = rf"config\.json has no format version, this version reads format {RUN_FORMAT}; begin a new"
    with pytest.raises(ValueError, match=message):
        read_run(folder)
