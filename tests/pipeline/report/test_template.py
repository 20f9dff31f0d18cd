"""pipeline/report/template.py: pages are escaped, complete and written whole."""

from pathlib import Path

import jinja2
import pytest

from pipeline.report.template import fill_template


def test_a_template_of_another_folder(tmp_path: Path) -> None:
    """It is found beside the report's own, and what is filled in is text, not HTML."""
    (tmp_path / "own.html.j2").write_text("<p>{{ page.said }}</p>\n")
    for _ in range(2):
        fill_template(tmp_path / "page.html", "own.html.j2", {"said": "a < b"}, tmp_path)
        assert (tmp_path / "page.html").read_text() == "<p>a &lt; b</p>\n"


def test_a_page_that_lacks_a_name(tmp_path: Path) -> None:
    """Nothing is written, and what was there stays."""
    (tmp_path / "own.html.j2").write_text("{{ page.said }}")
    (tmp_path / "page.html").write_text("before")
    with pytest.raises(jinja2.UndefinedError):
        fill_template(tmp_path / "page.html", "own.html.j2", {}, tmp_path)
    assert (tmp_path / "page.html").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.html.j2", "page.html"]
