"""pipeline/browse.py: the command, and its page in a real browser where there is one."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.browse import main

TinyRun = Any
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PROBE = """
<script>
const head = [...document.querySelectorAll("#all-runs th")].find(one => one.textContent === HEAD);
const names = () => [...document.querySelectorAll("#all-runs tbody tr")].map(row => row.cells[0].textContent.trim());
const found = [];
for (let turn = 0; turn < 2; turn++) { head.firstChild.click(); found.push([head.getAttribute("aria-sort"), names()]); }
const sizes = [...document.querySelectorAll("body *")]
  .filter(one => [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()))
  .filter(one => !one.closest("svg") && one.tagName !== "SCRIPT" && one.tagName !== "STYLE")
  .map(one => parseFloat(getComputedStyle(one).fontSize));
const answer = {found, smallest: Math.min(...sizes), width: document.documentElement.scrollWidth, shown: innerWidth};
document.body.innerHTML = "<pre id='answer'>" + JSON.stringify(answer) + "</pre>";
</script>
"""


def test_the_command(copied: TinyRun, capsys: pytest.CaptureFixture[str]) -> None:
    """It writes the page into the folder and prints where; a folder without runs is one line, exit code 1."""
    runs = copied.path.parent
    assert main([str(runs)]) == 0
    assert capsys.readouterr().out.strip() == str(runs / "index.html") and (runs / "index.html").is_file()
    assert main([str(copied.path)]) == 1
    assert capsys.readouterr().err.startswith(f"pipeline.browse: {copied.path}: no runs there")


@pytest.fixture
def in_browser(tmp_path: Path) -> Callable[[str, int], dict[str, Any]]:
    """`in_browser(page, width)`: what PROBE found in a real browser's window of so many pixels."""

    def opened(page: str, width: int) -> dict[str, Any]:
        path = tmp_path / "probed.html"
        path.write_text(page)
        assert CHROMIUM is not None
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
        command += [f"--window-size={width},2000", "--virtual-time-budget=2000", "--dump-dom", f"file://{path}"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
        (answer,) = re.findall(r"<pre id=.answer.>(.*?)</pre>", printed, re.S)
        found: dict[str, Any] = json.loads(answer)
        return found

    return opened


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to open the page in")
def test_in_a_browser(copied: TinyRun, in_browser: Callable[[str, int], dict[str, Any]]) -> None:
    """A heading sorts the runs by its column, and again turned round, with what is absent last; on a telephone's width
    no text is under 11 px and nothing but tables and drawings reaches beyond the window."""
    runs = copied.path.parent
    for name, loss in (("worse", 0.9), ("better", 0.1)):
        shutil.copytree(copied.path, runs / name, ignore=shutil.ignore_patterns("checkpoints", "data"))
        results = json.loads((runs / name / "results.json").read_text())
        for model in results["models"]:
            for seed in model["seeds"]:
                seed["test"]["log_loss"] = loss
        (runs / name / "results.json").write_text(json.dumps(results))
    (runs / "begun").mkdir()
    shutil.copy(copied.path / "config.json", runs / "begun")
    assert main([str(runs)]) == 0
    page = (runs / "index.html").read_text()
    own = copied.path.name
    for width in (390, 1280):
        answer = in_browser(page.replace("</body>", PROBE.replace("HEAD", "'test log loss'") + "</body>"), width)
        assert answer["found"] == [
            ["ascending", ["better", own, "worse", "begun"]],
            ["descending", ["worse", own, "better", "begun"]],
        ]
        assert answer["smallest"] >= 11 and answer["width"] <= answer["shown"]
