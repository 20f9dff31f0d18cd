"""pipeline/evaluation/page.py and its pictures: one page that stands alone, and holds a log's texts as text."""

import html.parser
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from pipeline.evaluation.page import write_page
from pipeline.evaluation.pictures import NAMED_FILES, files_picture, reliability_picture
from tests.pipeline.evaluation.made_up import TEST, evaluation
from tests.pipeline.test_browse import CHROMIUM, READABLE, InBrowser, in_browser

assert in_browser, "the browser of the other pages' tests"

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}$\\frac{$_^ \\input{x}"


class Tags(html.parser.HTMLParser):
    """The page's tags, their attributes' names, and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names, self.attributes, self.ids, self.open = set[str](), set[str](), list[str](), list[str]()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [str(value) for name, value in attrs if name == "id"]
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page_of(folder: Path, hostile: str = "", **changes: object) -> str:
    """The page's text."""
    found = evaluation(hostile=hostile, **changes)  # type: ignore[arg-type]
    write_page(folder / "evaluation.html", found, f"clicked{hostile}", f"python -m x{hostile}")
    return (folder / "evaluation.html").read_text()


@pytest.mark.slow
def test_the_page_stands_alone(tmp_path: Path) -> None:
    """It loads nothing and has no script; every tag is closed, every id once, every link within it leads somewhere; its
    pictures are SVG; the same evaluation gives the same bytes."""
    text = page_of(tmp_path)
    tags = Tags(text)
    assert not tags.open and len(set(tags.ids)) == len(tags.ids)
    assert not tags.names & {"script", "link", "img", "iframe"} and "src=" not in text
    assert "http://" not in text.replace("http://www.w3.org", "") and "https://" not in text
    assert set(re.findall(r'href="#([\w-]+)"', text)) <= set(tags.ids)
    for svg in re.findall(r"<svg.*?</svg>", text, re.S):
        assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert text.count('class="plot"') == 2 and page_of(tmp_path) == text
    assert page_of(tmp_path, files=(0.4,)).count('class="plot"') == 1
    for said in ("0.0100 worse than on its test rows", "day_1.tsv", "1 to 12,000", "all unknown values"):
        assert said in text
    assert "says nothing of test rows" in page_of(tmp_path, test=None)


@pytest.mark.slow
def test_texts_are_text(tmp_path: Path) -> None:
    """Values, columns, files and labels that run something where they are taken for code add no tag, no attribute."""
    plain, hostile = Tags(page_of(tmp_path)), page_of(tmp_path, hostile=HOSTILE)
    found = Tags(hostile)
    assert (found.names, found.attributes) == (plain.names, plain.attributes)
    assert "<script" not in hostile and "&lt;script&gt;alert(1)" in hostile and "{{ 7 * 7 }}" in hostile


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, NAMED_FILES, NAMED_FILES + 1])
@pytest.mark.parametrize("test", [None, TEST])
def test_pictures_of_any_number_of_files(count: int, test: object) -> None:
    """They are drawn, each file's point says what it is, and many are numbered."""
    found = evaluation(files=tuple(0.4 + n / 100 for n in range(count)), test=test)  # type: ignore[arg-type]
    svg = files_picture(found).svg
    assert svg.count("(1,000 rows)") == 3 * count and ("number of the file" in svg) == (count > NAMED_FILES)
    assert reliability_picture(found).svg.count(" predicted, ") == 2


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to open the page in")
@pytest.mark.parametrize("width", [390, 1280])
def test_readable_in_a_browser(tmp_path: Path, in_browser: InBrowser, width: int) -> None:
    """On a telephone and on a desk no text is under 11 pixels, in pictures neither, and nothing but what can be
    scrolled to reaches beyond the window."""
    text = page_of(tmp_path, files=tuple(0.4 + n / 100 for n in range(9)))
    (tmp_path / "evaluation.html").write_text(text.replace("<details>", "<details open>"))
    inner, texts, small, beyond = in_browser(tmp_path / "evaluation.html", READABLE, width)
    assert inner == width and texts > 50 and (small, beyond) == ([], [])
