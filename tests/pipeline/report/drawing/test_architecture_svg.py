"""The picture, read back from its SVG: every live connection once, between the right boxes, through no other box."""

import itertools
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    Architecture,
    InputShape,
    any_path,
    full_path,
    live,
    single_operator_any_connection,
)
from pipeline.report import draw_svg
from pipeline.report.drawing.wiring import edges, operator_titles

SVG = "{http://www.w3.org/2000/svg}"
SHAPE = InputShape(13, 26, 16)
architectures = st.builds(
    lambda space, sampler, seed: sampler(space, numpy.random.default_rng(seed)),
    st.sampled_from([NASREC_SMALL, NASREC_FULL]),
    st.sampled_from([single_operator_any_connection, any_path, full_path]),
    st.integers(0, 2**32 - 1),
)


def read(svg: str) -> tuple[Any, ...]:
    """The boxes by node (left, top, right, bottom), the wires as (from, to, role, path), the texts by node."""
    root = ElementTree.fromstring(svg)
    boxes, texts = {}, {}
    for group in root.iter(f"{SVG}g"):
        boxes[group.get("data-node")] = bounds(group)
        texts[group.get("data-node")] = [text.text or "" for text in group.findall(f"{SVG}text")]
    wires = [
        (path.get("data-from"), path.get("data-to"), path.get("data-role"), path.get("d"))
        for path in root.iter(f"{SVG}path")
        if path.get("class") == "wire"
    ]
    return boxes, wires, texts


def bounds(group: ElementTree.Element) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of an operator's outline: a rectangle, or a path of M, h and l commands."""
    rect, outline = group.find(f"{SVG}rect"), group.find(f"{SVG}path")
    if rect is not None:
        x, y, width, height = (float(rect.get(key, "")) for key in ("x", "y", "width", "height"))
        return x, y, x + width, y + height
    assert outline is not None
    x, y, points = 0.0, 0.0, []
    for command, numbers in re.findall(r"([Mhl])([^Mhlz]*)", outline.get("d", "")):
        dx, dy = [*(float(value) for value in numbers.split()), 0.0][:2]
        x, y = (dx, dy) if command == "M" else (x + dx, y + dy)
        points.append((x, y))
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def corners(path: str) -> list[tuple[float, float]]:
    """The points that a path of M, H, V and Q commands goes through."""
    points, x, y = [], 0.0, 0.0
    for command, numbers in re.findall(r"([MHVQ])([^MHVQ]*)", path):
        values = [float(value) for value in numbers.split()]
        match command:
            case "H":
                x = values[0]
            case "V":
                y = values[0]
            case _:
                x, y = values[-2:]
        points.append((x, y))
    return points


@given(architectures)
@pytest.mark.slow
def test_every_live_edge_is_drawn_once(architecture: Architecture) -> None:
    """The wires are the live edges, each once, and nothing else."""
    _, wires, _ = read(draw_svg(architecture, SHAPE))
    drawn = [(source, target, role) for source, target, role, _ in wires]
    assert sorted(drawn) == sorted((edge.source, edge.target, edge.role) for edge in edges(architecture) if edge.live)


@given(architectures)
@pytest.mark.slow
def test_wires_join_their_boxes(architecture: Architecture) -> None:
    """A wire begins on the border of the box it is read from and ends on the border of the box that reads it."""
    boxes, wires, _ = read(draw_svg(architecture, SHAPE))
    for source, target, _, path in wires:
        points = corners(path)
        for (x, y), (left, top, right, bottom) in ((points[0], boxes[source]), (points[-1], boxes[target])):
            assert left <= x <= right and top <= y <= bottom
            assert x in (left, right) or y in (top, bottom)


@given(architectures)
@pytest.mark.slow
def test_wires_cross_no_box(architecture: Architecture) -> None:
    """No wire runs through the inside of any box."""
    boxes, wires, _ = read(draw_svg(architecture, SHAPE))
    for (_, _, _, path), (left, top, right, bottom) in itertools.product(wires, boxes.values()):
        for (x0, y0), (x1, y1) in itertools.pairwise(corners(path)):
            outside = max(x0, x1) <= left or min(x0, x1) >= right or max(y0, y1) <= top or min(y0, y1) >= bottom
            assert outside, path


@given(architectures)
@pytest.mark.slow
def test_rails_belong_to_one_output(architecture: Architecture) -> None:
    """Two wires that run along each other horizontally come from the same output: a join is never ambiguous."""
    _, wires, _ = read(draw_svg(architecture, SHAPE))
    runs = [
        (y0, min(x0, x1), max(x0, x1), source)
        for source, _, _, path in wires
        for (x0, y0), (x1, y1) in itertools.pairwise(corners(path))
        if y0 == y1
    ]
    for (y0, left0, right0, source0), (y1, left1, right1, source1) in itertools.combinations(runs, 2):
        if y0 == y1 and max(left0, left1) < min(right0, right1):
            assert source0 == source1


@given(architectures)
@pytest.mark.slow
def test_stems_belong_to_one_box(architecture: Architecture) -> None:
    """Two wires that run along each other vertically share their source or their reader."""
    _, wires, _ = read(draw_svg(architecture, SHAPE))
    runs = [
        (x0, min(y0, y1), max(y0, y1), source, target)
        for source, target, _, path in wires
        for (x0, y0), (x1, y1) in itertools.pairwise(corners(path))
        if x0 == x1
    ]
    for (x0, top0, low0, *ends0), (x1, top1, low1, *ends1) in itertools.combinations(runs, 2):
        if x0 == x1 and max(top0, top1) < min(low0, low1):
            assert ends0[0] == ends1[0] or ends0[1] == ends1[1]


@given(architectures)
@pytest.mark.slow
def test_boxes_are_apart_and_say_what_they_are(architecture: Architecture) -> None:
    """One box an operator, none overlapping; each names its operators and its width; dead ones are marked."""
    svg = draw_svg(architecture, SHAPE)
    boxes, _, texts = read(svg)
    for (l0, t0, r0, b0), (l1, t1, r1, b1) in itertools.combinations(boxes.values(), 2):
        assert r0 <= l1 or r1 <= l0 or b0 <= t1 or b1 <= t0
    alive = {group.get("data-node"): group.get("data-live") for group in ElementTree.fromstring(svg).iter(f"{SVG}g")}
    assert texts["d0"][-1] == "13" and texts["s0"][-1] == "26 × 16"
    for number, (block, liveness) in enumerate(zip(architecture.blocks, live(architecture), strict=True), start=1):
        assert texts[f"d{number}"] == [
            *operator_titles(block.dense_operators),
            f"{block.dense_width}",
        ]
        sparse = operator_titles(block.sparse_operators)
        assert texts[f"s{number}"] == [*sparse, f"{block.sparse_width} × 16"]
        assert (alive[f"d{number}"], alive[f"s{number}"]) == (str(int(liveness.dense)), str(int(liveness.sparse)))


@given(architectures)
@pytest.mark.slow
def test_without_a_shape_the_wiring_is_the_same(architecture: Architecture) -> None:
    """The shape only adds the stems' widths and the wires' thickness."""
    assert read(draw_svg(architecture))[:2] == read(draw_svg(architecture, SHAPE))[:2]


def test_many_pictures_fit_in_one_page() -> None:
    """The picture has no ids, scripts or references that could clash with another's."""
    svg = draw_svg(full_path(NASREC_FULL, numpy.random.default_rng(0)), SHAPE)
    root = ElementTree.fromstring(svg)
    assert root.attrib.pop("style").startswith("--readable: ")  # a number for the page's own style sheet
    for element in root.iter():
        assert not {"id", "href", "style"} & set(element.attrib)
    assert "url(" not in svg and "<script" not in svg
