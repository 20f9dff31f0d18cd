"""pipeline/report/drawing/layout.py: boxes that are apart, and routes that join the right ones, in every space."""

import dataclasses
import itertools
import re

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.operators import DenseToSparse, Head
from modules.space import (
    NASREC_FULL,
    OPEN,
    SPACES,
    Architecture,
    InputShape,
    any_path,
    full_path,
    live,
    single_operator_any_connection,
)
from pipeline.report import draw_svg
from pipeline.report.drawing.layout import ArchitectureLayout, Box, Route, lay_out, wire_widths
from pipeline.report.drawing.wiring import edges

SAMPLERS = [single_operator_any_connection, any_path, full_path]


def drawn(space: str, sampler: int, seed: int) -> Architecture:
    """A random architecture."""
    return SAMPLERS[sampler](SPACES[space], numpy.random.default_rng(seed))


@st.composite
def with_any_head(draw: st.DrawFn) -> Architecture:
    """An architecture of the open space whose head reads any outputs at all, the stems among them, or one side only."""
    architecture = drawn(OPEN.name, draw(st.integers(0, 1)), draw(st.integers(0, 2**32 - 1)))
    outputs = st.sets(st.integers(0, len(architecture.blocks)))
    dense, sparse = draw(st.tuples(outputs, outputs).filter(any))
    return dataclasses.replace(architecture, head=Head(tuple(sorted(dense)), tuple(sorted(sparse))))


every_architecture = with_any_head() | st.builds(
    drawn, st.sampled_from([NASREC_FULL.name, OPEN.name]), st.integers(0, 2), st.integers(0, 2**32 - 1)
)


def points(route: Route) -> list[tuple[float, float]]:
    """The ends and corners of a route, from its path of M, H, V and Q commands."""
    found: list[tuple[float, float]] = []
    for command, text in re.findall(r"([A-Z])([^A-Z]*)", route.path):
        values = [float(value) for value in text.split()]
        match command:
            case "M" | "Q":
                found.append((values[-2], values[-1]))
            case "H":
                found.append((values[0], found[-1][1]))
            case "V":
                found.append((found[-1][0], values[0]))
            case _:
                raise AssertionError(f"{command} in {route.path}")
    return found


def on_border(point: tuple[float, float], box: Box) -> bool:
    """Whether a point lies on one of the box's four sides."""
    x, y = point
    right, bottom = box.x + box.width, box.y + box.height
    within = box.x <= x <= right and box.y <= y <= bottom
    return within and (x in (box.x, right) or y in (box.y, bottom))


def crosses(one: tuple[float, float], other: tuple[float, float], box: Box) -> bool:
    """Whether the rectangle around two points reaches into the inside of the box."""
    (x0, y0), (x1, y1) = one, other
    beside = max(x0, x1) <= box.x or min(x0, x1) >= box.x + box.width
    return not (beside or max(y0, y1) <= box.y or min(y0, y1) >= box.y + box.height)


def laid_out(architecture: Architecture) -> tuple[ArchitectureLayout, list[Box]]:
    """The layout, and its boxes in their order."""
    layout = lay_out(architecture)
    return layout, list(layout.boxes.values())


@settings(max_examples=30)
@given(every_architecture)
def test_boxes_do_not_overlap(architecture: Architecture) -> None:
    """One box a stem, branch and head, each inside the picture and apart from all others."""
    layout, boxes = laid_out(architecture)
    nodes = {f"{row}{column}" for row in "ds" for column in range(len(architecture.blocks) + 1)}
    assert layout.boxes.keys() == nodes | {"head"}
    assert all(box.node == node for node, box in layout.boxes.items())
    for box in boxes:
        assert min(box.x, box.y) >= 0 and box.x + box.width <= layout.width and box.y + box.height <= layout.height
    for one, other in itertools.combinations(boxes, 2):
        beside = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert beside or one.y + one.height <= other.y or other.y + other.height <= one.y


@settings(max_examples=30)
@given(every_architecture)
def test_routes_join_their_boxes(architecture: Architecture) -> None:
    """Every live connection has one route, from its source's border to its target's, through no box."""
    layout, boxes = laid_out(architecture)
    assert [route.edge for route in layout.routes] == [edge for edge in edges(architecture) if edge.live]
    for route in layout.routes:
        path = points(route)
        assert on_border(path[0], layout.boxes[route.edge.source])
        assert on_border(path[-1], layout.boxes[route.edge.target])
        assert path[-1] == pytest.approx(route.end)
        for one, other in itertools.pairwise(path):
            assert not any(crosses(one, other, box) for box in boxes), route


@settings(max_examples=30)
@given(every_architecture)
def test_heading_is_the_last_direction(architecture: Architecture) -> None:
    """The arrow's heading is the direction of the path's last piece, and the picture holds all of the path."""
    layout, _ = laid_out(architecture)
    for route in layout.routes:
        *_, (x0, y0), (x1, y1) = path = points(route)
        directions = {"right": (1, 0), "down": (0, 1), "up": (0, -1)}
        assert (numpy.sign(x1 - x0), numpy.sign(y1 - y0)) == directions[route.heading], route
        assert all(0 <= x <= layout.width and 0 <= y <= layout.height for x, y in path)


@settings(max_examples=30)
@given(every_architecture)
def test_outputs_have_rails_of_their_own(architecture: Architecture) -> None:
    """Routes of two outputs never run along each other horizontally, so that each can be followed."""
    layout, _ = laid_out(architecture)
    runs = [
        (y0, min(x0, x1), max(x0, x1), route.edge.source)
        for route in layout.routes
        for (x0, y0), (x1, y1) in itertools.pairwise(points(route))
        if y0 == y1
    ]
    for (y0, left0, right0, source0), (y1, left1, right1, source1) in itertools.combinations(set(runs), 2):
        assert source0 == source1 or y0 != y1 or min(right0, right1) <= max(left0, left1)


@settings(max_examples=20)
@given(with_any_head())
def test_sparse_wires_grow_with_the_embeddings(architecture: Architecture) -> None:
    """Every output has a width, and twice as wide embeddings make sparse ones twice as wide."""
    narrow, wide = (wire_widths(architecture, InputShape(13, 26, width)) for width in (8, 16))
    assert narrow.keys() == wide.keys() == lay_out(architecture).boxes.keys() - {"head"}
    assert all(narrow.values())
    assert all(wide[node] == 2 * narrow[node] for node in narrow if node[0] == "s")


@settings(max_examples=20)
@given(with_any_head())
def test_the_picture_draws_every_route(architecture: Architecture) -> None:
    """The SVG has the layout's paths as its wires, whatever a route's role."""
    wires = re.findall(r'class="wire"[^>]* d="([^"]+)"|d="([^"]+)"[^>]* class="wire"', draw_svg(architecture))
    assert sorted(one or other for one, other in wires) == sorted(route.path for route in lay_out(architecture).routes)


@settings(max_examples=20)
@given(st.integers(0, 2), st.integers(0, 2**32 - 1))
def test_wire_widths_of_a_nasrec_architecture(sampler: int, seed: int) -> None:
    """They are the inputs' sizes and the blocks' own widths, with the vectors that a live merger adds."""
    architecture = drawn(NASREC_FULL.name, sampler, seed)
    expected = {"d0": 13, "s0": 26 * 4}
    for number, (block, alive) in enumerate(zip(architecture.blocks, live(architecture), strict=True), start=1):
        merger = block.dense_to_sparse if alive.dense_to_sparse else None
        merged = merger.vectors if isinstance(merger, DenseToSparse) else 0
        expected |= {f"d{number}": block.dense_width, f"s{number}": 4 * (block.sparse_width + merged)}
    assert wire_widths(architecture, InputShape(13, 26, 4)) == expected
