"""pipeline/browse.py: the command, and its page in a real browser where there is one."""

import html
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
SORTED = """
<script>
const head = [...document.querySelectorAll("#all-runs th")].find(one => one.textContent === "test log loss");
const rows = () => [...document.querySelectorAll("#all-runs tbody tr")];
const names = () => rows().map(row => row.cells[0].textContent.trim());
const sorted = [];
for (let turn = 0; turn < 2; turn++) {
  head.firstChild.click();
  sorted.push([head.getAttribute("aria-sort"), names()]);
}
parent.postMessage(sorted, "*");
</script>
"""
READABLE = """
<script>
const shown = [...document.querySelectorAll("body *")].filter(one => one.getClientRects().length);
const texts = shown.filter(one => !one.closest("script,style,title,desc") &&
  [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()));
const scale = one => one.getScreenCTM ? Math.hypot(one.getScreenCTM().a, one.getScreenCTM().b) : 1;
const small = texts.filter(one => parseFloat(getComputedStyle(one).fontSize) * scale(one) < 10.99);
const isBeyond = one => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest("figure,.scroll");
const said = some => some.map(one => one.outerHTML.slice(0, 200));
parent.postMessage([innerWidth, texts.length, said(small), said(shown.filter(isBeyond))], "*");
</script>
"""
FRAME = """
<iframe src="page.html" width="WIDTH" height="900" style="border: 0"></iframe>
<script>
onmessage = message => { document.body.innerHTML = "<pre id='answer'></pre>";
  document.getElementById("answer").textContent = JSON.stringify(message.data); };
</script>
"""


def test_the_command(copied: TinyRun, capsys: pytest.CaptureFixture[str]) -> None:
    """It writes the page into the folder and prints where; a folder without runs is one line, exit code 1."""
    runs = copied.path.parent
    assert main([str(runs)]) == 0
    assert capsys.readouterr().out.strip() == str(runs / "index.html") and (runs / "index.html").is_file()
    assert main([str(copied.path)]) == 1
    assert capsys.readouterr().err.startswith(f"pipeline.browse: {copied.path}: no runs there")


InBrowser = Callable[[Path, str, int], Any]


@pytest.fixture
def in_browser(tmp_path: Path) -> InBrowser:
    """`in_browser(page, script, width)`: what a script says of a page in a real browser's frame of so many pixels."""

    def opened(page: Path, script: str, width: int) -> Any:
        (tmp_path / "page.html").write_text(page.read_text().replace("</body>", f"{script}</body>"))
        (tmp_path / "frame.html").write_text(FRAME.replace("WIDTH", str(width)))
        assert CHROMIUM is not None
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
        command += [
            "--window-size=1600,1000",
            "--virtual-time-budget=5000",
            "--dump-dom",
            f"file://{tmp_path}/frame.html",
        ]
        printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240).stdout
        (answer,) = re.findall(r"<pre id=.answer.>(.*?)</pre>", printed, re.S)
        return json.loads(html.unescape(answer))

    return opened


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to open the page in")
def test_sorting_in_a_browser(copied: TinyRun, in_browser: InBrowser) -> None:
    """A heading sorts the runs by its column, and again turned round, with what is absent last either way."""
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
    own = copied.path.name
    assert in_browser(runs / "index.html", SORTED, 1280) == [
        ["ascending", ["better", own, "worse", "begun"]],
        ["descending", ["worse", own, "better", "begun"]],
    ]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to open the pages in")
@pytest.mark.parametrize("width", [390, 1280])
def test_readable_in_a_browser(copied: TinyRun, in_browser: InBrowser, width: int) -> None:
    """On a telephone and on a desk, of a run's report and of the page on all runs: no text is under 11 pixels, in
    pictures neither, and nothing but what can be scrolled to reaches beyond the window."""
    runs = copied.path.parent
    assert main([str(runs)]) == 0
    for page in (runs / "index.html", copied.path / "report.html"):
        inner, texts, small, beyond = in_browser(page, READABLE, width)
        assert inner == width and texts > 50
        assert (small, beyond) == ([], []), page.name
