"""The house's figures: ids of their own, no references outwards, labels apart, axes readable."""

import itertools
import re
import xml.etree.ElementTree as ElementTree

import numpy
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pipeline.report.drawing.figure import inline_svg, label_points, log_axis, new_figure, report_style, settle


def draw(name: str) -> str:
    """A figure with a clip path, markers and text."""
    with report_style():
        figure = new_figure(4, 3)
        axes = figure.add_subplot()
        axes.plot([1, 2, 3], [3, 1, 2], "o-", gid="line")
        axes.set_xlabel("rows")
        return inline_svg(figure, name, "A title", "What it shows", {"line": "hover & tell"})


def test_ids_are_the_figures_own() -> None:
    """Two figures in one page share no id, and every reference inside a figure has its target."""
    one, other = (ElementTree.fromstring(draw(name)) for name in ("one", "other"))
    ids = [{element.get("id") for element in root.iter() if element.get("id")} for root in (one, other)]
    assert not ids[0] & ids[1]
    for root, known in zip((one, other), ids, strict=True):
        text = ElementTree.tostring(root, encoding="unicode")
        assert set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text)) <= known


def test_text_is_text_and_described() -> None:
    """Labels stay text; title and description are there for screen readers, hovers as titles."""
    root = ElementTree.fromstring(draw("plot"))
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    titles = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "rows" in texts and titles == ["A title", "hover & tell"]
    assert root.get("aria-labelledby") == "plot-title plot-desc"


def test_same_figure_same_bytes() -> None:
    """Drawing twice gives the same text."""
    assert draw("plot") == draw("plot")


def test_labels_do_not_cover_each_other() -> None:
    """Labels of points with room around them do not overlap."""
    generator = numpy.random.default_rng(0)
    points = [(x, float(generator.uniform(0, 1))) for x in range(6)]
    with report_style():
        figure = new_figure(8, 4)
        axes = figure.add_subplot()
        axes.plot(*zip(*points, strict=True), "o")
        settle(figure)
        label_points(axes, [(x, y, f"model {x}", "black") for x, y in points])
        renderer = FigureCanvasAgg(figure).get_renderer()
        boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert len(boxes) == len(points)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


@pytest.mark.parametrize(("values", "scale"), [((1.0, 1.5), "linear"), ((1.0, 30.0), "log"), ((0.0, 5.0), "linear")])
def test_logarithmic_only_where_it_helps(values: list[float], scale: str) -> None:
    """An axis is logarithmic when its values are positive and span at least a factor of two."""
    with report_style():
        axes = new_figure(4, 3).add_subplot()
        axes.plot(values, values)
        log_axis(axes.xaxis, values)
    assert axes.get_xscale() == scale
