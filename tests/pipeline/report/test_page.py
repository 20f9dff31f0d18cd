"""The page: every number of the files in its tables, sound and self-contained HTML, the same bytes every time."""

import html.parser
import json
import re
import shutil
import statistics
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from pipeline.report import write_report
from pipeline.report.model_tables import SHOWN_CONTENDERS
from pipeline.report.tables import SHOWN_MAPPINGS
from pipeline.report.words import millions

TABLES = ("models", "costs")
COMMAND = "torchx run launch/search.py -- --run <demo> & more"
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(html.parser.HTMLParser):
    """Checks that tags nest, and collects ids, attributes, text and the tables' cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.references += [value for key, value in attrs if key in ("href", "src", "xlink:href", "data", "action")]
        if tag == "table":
            self.table = self.tables.setdefault(values.get("id"), [])
        elif tag == "tr":
            self.table.append([])
        elif tag in ("td", "th"):
            self.table[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> does not close what is open"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_data(self, data: Any) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)
        if "td" in self.open or "th" in self.open:
            self.table[-1][-1] += data


@pytest.fixture(scope="module")
def report(finished_run: Path) -> str:
    """The complete run's report."""
    return write_report(finished_run, COMMAND).read_text()


@pytest.fixture(scope="module")
def page(report: str) -> Page:
    """The same, parsed."""
    page = Page(report)
    assert page.open == []
    return page


def shows(cell: str, value: float) -> bool:
    """Whether a cell is the value, rounded to the digits it shows."""
    text = cell.replace(",", "").replace("−", "-").replace("±", "").replace("+", "")
    scale = 0.01 if text.endswith("%") else 1.0
    text = text.rstrip("%")
    decimals = len(text.split(".")[1]) if "." in text else 0
    return abs(float(text) * scale - value) <= 0.5001 * scale * 10.0**-decimals


def mean(values: Iterable[float]) -> float:
    """Their mean."""
    return statistics.mean(values)


def test_models_tables_have_every_number(page: Page, finished_run: Path) -> None:
    """Each model's rows show the numbers of results.json, in the order of the mean test log loss."""
    results = json.loads((finished_run / "results.json").read_text())

    def test_loss(model: dict[str, Any]) -> float:
        return mean(seed["test"]["log_loss"] for seed in model["seeds"])

    models = sorted(results["models"], key=test_loss)
    rows = {
        name: [dict(zip(page.tables[name][0], row, strict=True)) for row in page.tables[name][1:]] for name in TABLES
    }
    kinds = {"searched": "searched", "handmade": "hand-made"}
    for place, model in enumerate(models):
        assert {rows[name][place]["model"] for name in TABLES} == {model["title"] + kinds[model["kind"]]}
        cells = {**rows["models"][place], **rows["costs"][place]}
        tests = [seed["test"] for seed in model["seeds"]]
        spread = cells["test log loss"].split(" ± ")
        assert shows(spread[0], test_loss(model))
        assert shows(spread[1], statistics.stdev(one["log_loss"] for one in tests))
        expected = {
            "AUC": mean(one["auc"] for one in tests),
            "normalized entropy": mean(one["normalized_entropy"] for one in tests),
            "calibration": mean(one["calibration"] for one in tests),
            "seeds averaged": model["ensemble"]["test"]["log_loss"],
            "valid log loss": mean(seed["valid"]["log_loss"] for seed in model["seeds"]),
            "MMACs": model["multiply_accumulates"] / 1e6,
            "parameters": model["parameters"],
            "tables MB": model["table_bytes"] / 1e6,
            "lookup bytes per row": model["lookup_bytes"],
            "trials": model["trials"],
            "rows trained in them": model["rows"],
        }
        if model["supernet_score"] is not None:
            expected["supernet score"] = model["supernet_score"]
        for column, value in expected.items():
            assert shows(cells[column], value), (column, cells[column], value)
        assert f"D {model['recipe']['embedding_width']}, 3 passes, fresh tables" in cells["recipe"]


def test_the_race_is_there(page: Page, finished_run: Path) -> None:
    """Every contender in the tables, its trials by kind, its picture, and what mattered."""
    trials = [json.loads(line) for line in (finished_run / "race.jsonl").read_text().splitlines()]
    names = {row[0].removesuffix("searched").removesuffix("hand-made") for row in page.tables["all-contenders"][1:]}
    assert names == {trial["contender"] for trial in trials}
    assert page.tables["contenders"][1:] == page.tables["all-contenders"][1 : SHOWN_CONTENDERS + 1]
    text = "".join(page.texts)
    searched = [trial for trial in trials if trial["kind"] == "searched"]
    assert f"searched {len(searched)} trials and {sum(trial['rows'] for trial in searched):,} rows" in text
    assert "Track tuned" in text and "race" in page.ids
    assert "importance-title" in page.ids and "trials, contenders left out one by one" in text


def test_architectures_have_their_own_width(page: Page, finished_run: Path) -> None:
    """A model is counted at its recipe's embedding width, not at the supernet's."""
    results = json.loads((finished_run / "results.json").read_text())
    text = "".join(page.texts)
    for model in results["models"]:
        assert f"{millions(model['multiply_accumulates'])} million multiply-accumulates per row." in text
    assert {model["recipe"]["embedding_width"] for model in results["models"]} == {16, 32}


def test_mappings_tables_have_every_number(page: Page, finished_run: Path) -> None:
    """All Pareto points, the naive mapping and the hand-made models' appear with the numbers of codesign.json."""
    codesign = json.loads((finished_run / "codesign.json").read_text())
    points = {"naive W8A8": codesign["naive"]}
    points |= {f"{one['title']}, W8A8hand-made": one["point"] for one in codesign["handmade"]}
    points |= {f"{one['title']}, by searchhand-made": one["pareto"][0] for one in codesign["handmade"] if one["pareto"]}
    points |= {point["label"]: point for point in codesign["pareto"]}
    head = page.tables["mappings"][0]
    rows = {row[0].removesuffix("chosen"): row for row in page.tables["mappings"][1:]}
    if len(codesign["pareto"]) > SHOWN_MAPPINGS:
        rows |= {row[0].removesuffix("chosen"): row for row in page.tables["pareto-points"][1:]}
    assert rows.keys() == points.keys()
    columns = {
        "log loss": "log_loss",
        "energy nJ": "energy_nj",
        "latency µs": "latency_us",
        "rows/s": "throughput_per_s",
        "area mm²": "area_mm2",
        "embeddings mm²": "embedding_area_mm2",
        "power W": "power_w",
        "utilization": "utilization",
    }
    for label, point in points.items():
        cells = dict(zip(head, rows[label], strict=True))
        for column, key in columns.items():
            assert shows(cells[column], point[key]), (label, column)
    assert sum("chosen" in row[0] for row in page.tables["mappings"]) == 1


def test_chosen_mapping_is_detailed(page: Page, finished_run: Path) -> None:
    """The operators' table is the chosen point's bits and copies; the presets' has each preset's energy."""
    codesign = json.loads((finished_run / "codesign.json").read_text())
    label = next(row[0] for row in page.tables["mappings"] if "chosen" in row[0]).removesuffix("chosen")
    chosen = next(point for point in codesign["pareto"] if point["label"] == label)
    assert page.tables["operators"][1:] == [
        [one["name"], str(one["weight_bits"]), str(one["activation_bits"]), str(one["dup"])]
        for one in chosen["operators"]
    ]
    for row, preset in zip(page.tables["presets"][1:], codesign["presets"], strict=True):
        assert row[0] == preset["preset"] and shows(row[1], preset["point"]["energy_nj"])
    changed = {key for key, value in chosen["hardware"].items() if value != codesign["naive"]["hardware"][key]}
    assert changed == {row[0].replace(" ", "_") for row in page.tables["hardware"][1:] if row[1] != row[2]}


def test_html_is_sound(page: Page) -> None:
    """Ids are unique and every reference is to an id of the page."""
    assert len(set(page.ids)) == len(page.ids)
    assert {reference[1:] for reference in page.references} <= set(page.ids)
    assert all(reference.startswith("#") for reference in page.references)


def test_nothing_is_fetched(report: str) -> None:
    """No address but the SVG name spaces, no import, no font or image from elsewhere."""
    addresses = set(re.findall(r"[a-z]+://[^\s\"'<>)]+", report))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r"@import|@font-face|<link|<img|<iframe|fetch\(|XMLHttpRequest", report)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", report))


def test_pictures_are_sound_xml(report: str) -> None:
    """Every picture is well-formed XML by itself."""
    pictures = re.findall(r"<svg.*?</svg>", report, flags=re.DOTALL)
    assert len(pictures) >= 8
    for picture in pictures:
        ElementTree.fromstring(picture)


def test_command_and_configuration_are_shown_escaped(page: Page, report: str) -> None:
    """The command is shown letter for letter, escaped; the configuration is there."""
    assert COMMAND in "".join(page.texts)
    assert "&lt;demo&gt; &amp; more" in report and "<demo>" not in report
    assert '"max_table_rows": 10000' in "".join(page.texts)
    versions = dict(page.tables["versions"])
    assert versions["python"] == sys.version.split()[0]
    assert {"torch", "torchrec", "torchx", "pyarrow", "iopath"} <= versions.keys()


def test_where_the_rows_are_from(write_run: Callable[..., Path], tmp_path: Path) -> None:
    """A split by time says which times each split has, escaped; a model that was trained on says from where; times
    that cannot be read are a clear error."""
    folder = write_run(tmp_path / "run", count=24)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"warm_start": "runs/first"}))
    (folder / "data" / "time_split").mkdir(parents=True)
    times = folder / "data" / "time_split" / "split.json"
    times.write_text(json.dumps({"times": [["2026-01-01", "<b>"], ["2026-01-03", "2026-01-03"], ["4", "5"]]}))
    text = write_report(folder, COMMAND).read_text()
    for expected in ("2026-01-01 to &lt;b&gt;", "2026-01-03 to 2026-01-03", "runs/first"):
        assert expected in text, expected
    times.write_text('{"times": [1]}')
    with pytest.raises(ValueError, match=r"split\.json: the times of the splits cannot be read"):
        write_report(folder, COMMAND)


@pytest.mark.slow
def test_same_run_same_bytes(report: str, finished_run: Path, tmp_path: Path) -> None:
    """A fresh process with other hash seeds writes the same bytes."""
    folder = shutil.copytree(finished_run, tmp_path / finished_run.name)
    (folder / "report.html").unlink()
    program = "import pathlib, sys; from pipeline.report import write_report; "
    program += "write_report(pathlib.Path(sys.argv[1]), sys.argv[2])"
    command = [sys.executable, "-c", program, str(folder), COMMAND]
    environment = {"PYTHONHASHSEED": "77", "PATH": "/usr/bin:/bin"}
    subprocess.run(command, check=True, cwd=Path(__file__).parents[3], env=environment)
    assert (folder / "report.html").read_text() == report


OPTIONAL = ["timings", "metrics", "model", "codesign", "results", "race", "race_trials", "winners", "candidates"]


ABSENT = [*([name] for name in OPTIONAL), *(OPTIONAL[:last] for last in (2, 5, 6, 9)), OPTIONAL[2:8]]


@pytest.mark.slow
@pytest.mark.parametrize("absent", ABSENT, ids="+".join)
def test_any_part_may_be_absent(write_run: Callable[..., Path], tmp_path: Path, absent: list[str]) -> None:
    """The report is written without any of the optional files, is sound, and says which are absent."""
    folder = write_run(tmp_path / "run", count=6)
    lines = {"metrics": "metrics.jsonl", "candidates": "candidates.jsonl", "race_trials": "race.jsonl"}
    files = [lines.get(name, f"{name}.json") for name in absent]
    for name in files:
        for path in folder.rglob(name):
            path.unlink()
    page = Page(write_report(folder, "command").read_text())
    text = "".join(page.texts)
    assert page.open == [] and len(set(page.ids)) == len(page.ids)
    assert {reference[1:] for reference in page.references} <= set(page.ids)
    for name in files:
        assert name in text


@pytest.mark.slow
def test_unusual_runs(write_run: Callable[..., Path], tmp_path: Path) -> None:
    """One candidate, one model, no Pareto point, nothing measured, zero integers: a report all the same."""
    folder = write_run(tmp_path / "run", count=1)
    results = json.loads((folder / "results.json").read_text())
    results.update(models=results["models"][:1], comparisons=[], oracle_test_log_loss=None)
    only = results["models"][0]
    only.update(supernet_score=None, seeds=only["seeds"][:1])
    (folder / "results.json").write_text(json.dumps(results))
    codesign = json.loads((folder / "codesign.json").read_text())
    codesign.update(pareto=[], evaluated=[], handmade=[], presets=[])
    codesign["naive"].update(log_loss=None, operators=[], energy_breakdown_nj={})
    (folder / "codesign.json").write_text(json.dumps(codesign))
    for path in folder.rglob("metrics.jsonl"):
        path.write_text("")
    text = "".join(Page(write_report(folder, "command").read_text()).texts)
    assert "What mattered cannot be said: that takes 20 trials" in text
    assert "no hand-made model was trained beside it" in text and "no log loss was measured" in text


@pytest.mark.slow
def test_one_label_only(write_run: Callable[..., Path], tmp_path: Path) -> None:
    """Where the test rows have one label only there is no AUC, entropy or calibration: the report says so."""
    folder = write_run(tmp_path / "run", count=3)
    results = json.loads((folder / "results.json").read_text())
    for model in results["models"]:
        for seed in model["seeds"]:
            seed["test"].update(auc=None, normalized_entropy=None, calibration=None)
    (folder / "results.json").write_text(json.dumps(results))
    page = Page(write_report(folder, "command").read_text())
    head, *rows = page.tables["models"]
    assert {row[head.index(column)] for row in rows for column in ("AUC", "normalized entropy", "calibration")} == {"–"}
    assert "one label only" in "".join(page.texts)


def test_failed_report_leaves_the_old_one(write_run: Callable[..., Path], tmp_path: Path) -> None:
    """When a file is broken the error names it and the report of before stays as it was."""
    folder = write_run(tmp_path / "run", count=3)
    (folder / "report.html").write_text("before")
    (folder / "results.json").write_text("{")
    with pytest.raises(ValueError, match=r"results\.json"):
        write_report(folder, "command")
    assert (folder / "report.html").read_text() == "before"
    assert not list(folder.glob("*.tmp*"))
