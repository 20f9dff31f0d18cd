"""pipeline/report/runs_page.py: every run of a folder on one page, whatever state it is in."""

import html
import re
import shutil
from pathlib import Path

import pytest

from pipeline.report.run_records import read_run
from pipeline.report.runs_page import HEADS, log_of, write_runs_page


@pytest.fixture
def runs(finished_run: Path, tmp_path: Path) -> Path:
    """A finished run, one that has only begun, one whose results are cut off, and a folder that is no run."""
    folder = tmp_path / "runs"
    for name in ("finished", "begun", "broken"):
        shutil.copytree(finished_run, folder / name)
    for path in (folder / "begun").iterdir():
        if path.name != "config.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    results = folder / "broken" / "results.json"
    results.write_text(results.read_text()[:-40])
    (folder / "notes").mkdir()
    return folder


def rows(page: str) -> list[list[str]]:
    """The texts of the table's cells."""
    body = page.split("<tbody>")[1].split("</tbody>")[0]
    return [
        [html.unescape(re.sub("<[^>]*>", "", cell)).strip() for cell in re.findall(r"<td.*?</td>", row, re.S)]
        for row in re.findall(r"<tr>.*?</tr>", body, re.S)
    ]


def test_every_run_is_there(runs: Path) -> None:
    """A line a run with its answer and its cost; one without results says how far it is; a broken one says why."""
    page = write_runs_page(runs).read_text()
    begun, finished = rows(page)
    record = read_run(runs / "finished")
    assert record.results is not None
    best = record.results.best_model
    assert len(finished) == len(begun) == len(HEADS)
    assert finished[0] == "finished" and finished[2].startswith(best.title)
    assert finished[3] == f"{best.test.log_loss:.5f}" and finished[1] == log_of(record)
    assert begun[2] == "–" and "has not trained anything yet" in page
    assert "broken</b> cannot be read: " in page and "results.json: not JSON at line" in page
    assert "notes" not in page and page.count("<svg") >= 2


def test_the_same_runs_give_the_same_bytes(runs: Path) -> None:
    """And the page does not count itself among the runs."""
    first = write_runs_page(runs).read_bytes()
    assert write_runs_page(runs).read_bytes() == first


def test_names_are_escaped(runs: Path) -> None:
    """A run's name is text on the page, and part of a link, never markup."""
    name = "<script>alert(1)</script>#&".replace("/", "")
    (runs / "finished").rename(runs / name)
    page = write_runs_page(runs).read_text()
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    assert 'href="#run-%3Cscript%3Ealert%281%29%3Cscript%3E%23%26"' in page


def test_a_folder_without_runs(tmp_path: Path) -> None:
    """It is named, and what to give instead."""
    with pytest.raises(ValueError, match=f"{tmp_path}: no runs there"):
        write_runs_page(tmp_path)
    with pytest.raises(ValueError, match="none: no such folder"):
        write_runs_page(tmp_path / "none")
