"""pipeline/plan.py: the program's figures, page and mistakes, without GPUs, process group or log."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from pipeline.command_line import read_command_line
from pipeline.plan import main
from pipeline.planning.config import PlanConfig
from pipeline.planning.stage import schema_of
from pipeline.planning.tables import as_text
from pipeline.report.tables import Row, Table

SMALL = ["--model.space", "nasrec_small", "--model.embedding-width", "16"]


@pytest.mark.slow
def test_the_terabytes_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two numbers of GPUs: each table's placement and both numbers' figures are printed and drawn; the page stands
    alone and names the formula of the all-reduce."""
    page = tmp_path / "plan.html"
    arguments = ["criteo_terabyte", "--world-size", "8", "16", "--hardware", "h100", *SMALL, "--page", str(page)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    for said in ("Tables on 1 × 8 GPUs, H100 SXM 80 GB", "2 × 8", "48,937,458", "t_cat_25", "million rows a second"):
        assert said in printed
    text = page.read_text()
    assert text.count('class="plot"') == 4 and "http://" not in text.replace("http://www.w3.org", "")
    assert "2 (N − 1) / N · S / b" in text and "src=" not in text and "<script" not in text
    svg = text[text.index("<svg") : text.index("</svg>") + 6]
    assert ElementTree.fromstring(svg).tag.endswith("svg")


@pytest.mark.slow
def test_the_run_may_stand_anywhere_and_no_page_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A named run behind the plan's options is still the run; an empty page is none."""
    monkeypatch.chdir(tmp_path)
    rows = ["--table-rows", *["1000"] * 25, "7000000"]
    assert main(["--world-size", "2", "--hardware", "h200", "criteo_terabyte", *SMALL, "--page", "", *rows]) == 0
    assert "7,000,000" in capsys.readouterr().out and not list(tmp_path.iterdir())


def test_whose_tables(tmp_path: Path) -> None:
    """The schema asked for; else the prepared log's; else the named run's; else the generator's, as they are capped."""

    def sizes(*arguments: str, named: str = "", **own: object) -> tuple[int, ...]:
        config = PlanConfig(**own)  # type: ignore[arg-type]
        return schema_of(config, read_command_line("plan", list(arguments)), named).table_sizes

    assert max(sizes("criteo_terabyte", named="criteo_terabyte")) == 48_937_458
    assert max(sizes("criteo_terabyte", "--data.schema", "kdd2012", named="criteo_terabyte")) == 22_122_012
    assert max(sizes()) == 20_000 and len(sizes("quick")) == 26
    document = {"label": "y", "integers": [], "categories": ["u"], "table_sizes": [77]}
    (tmp_path / "schema.json").write_text(json.dumps(document))
    assert sizes("--data.path", str(tmp_path)) == (77,)
    assert sizes("--data.path", str(tmp_path), table_rows=(55,)) == (55,)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--world-size", "12", "--supernet.batch-size", "144"], "12 ranks on nodes of 8"),
        (["--world-size", "24", "--supernet.batch-size", "512"], "512, which 24 ranks cannot share evenly"),
        (["--table-rows", "5"], "table_rows has 1 numbers for the 26 categories"),
        (["--data.path", "s3-but-not-there/"], "how large its tables are is not known before it is opened"),
        (["nosuchrun"], "unknown run 'nosuchrun'"),
        (
            [
                "--hardware",
                "a100_40",
                "--world-size",
                "1",
                "--data.schema",
                "criteo_terabyte",
                "--data.max-table-rows",
                "2000000000",
                "--model.embedding-width",
                "512",
            ],
            "the embedding tables do not fit: 26 tables take 3",
        ),
    ],
)
def test_mistakes(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake is one line that names what is wrong, and status 1."""
    assert main([*arguments, "--page", ""]) == 1
    error = capsys.readouterr().err
    assert error.startswith("pipeline.plan: ") and said in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("world_size", (8, 0)), ("world_size", ()), ("local_world_size", 0), ("share_of_peak", 2.0), ("launch_us", -1.0)],
)
def test_settings_are_checked(field: str, value: object) -> None:
    """A setting out of its range is named with its value."""
    with pytest.raises(ValueError, match=f"^{field} is "):
        PlanConfig(**{field: value})  # type: ignore[arg-type]


def test_as_text() -> None:
    """Words to the left, numbers to the right, columns in line."""
    rows = (Row(("a", "1,000", "here")), Row(("bcd", "7", "x")))
    table = Table("t", "T", ("name", "rows", "where"), rows, texts=frozenset({2}))
    assert as_text(table) == "name   rows  where\na     1,000  here\nbcd       7  x"
