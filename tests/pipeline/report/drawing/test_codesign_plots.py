"""The co-design's pictures: every mapping is there to hover, the energy's parts add up."""

import dataclasses
import re
from pathlib import Path

import pytest

from pipeline.report.drawing.codesign_plots import describe, energy_breakdown, pareto_panels
from pipeline.report.run_records import read_run
from pipeline.report.words import significant
from pipeline.run.records.codesign import Codesign


@pytest.fixture(scope="module")
def codesign(finished_run: Path) -> Codesign:
    """The complete run's mappings."""
    return read_run(finished_run).codesign


def test_every_marked_mapping_can_be_hovered(codesign: Codesign) -> None:
    """Each Pareto point, hand-made model and the naive mapping is described in each of the four panels."""
    svg = pareto_panels(codesign).svg
    for point in [*codesign.pareto, codesign.naive, *(one.point for one in codesign.handmade)]:
        assert svg.count(f"<title>{describe(point)}</title>") >= 4


@pytest.mark.slow
def test_far_points_are_counted_not_hidden(codesign: Codesign) -> None:
    """Pareto points of so high a loss that they are outside the frame are counted in the caption."""
    far = [dataclasses.replace(point, log_loss=0.9) for point in codesign.pareto[:3]]
    picture = pareto_panels(dataclasses.replace(codesign, pareto=(*codesign.pareto[3:], *far)))
    assert "above the frames: 3" in picture.caption
    assert "above the frames" not in pareto_panels(codesign).caption


@pytest.mark.slow
def test_hand_made_models_outside_the_frame_are_named(codesign: Codesign) -> None:
    """A hand-made model far from the own mappings does not squeeze them: the caption has its log loss instead."""
    first, *others = codesign.handmade
    far = dataclasses.replace(first, point=dataclasses.replace(first.point, log_loss=0.7))
    moved = dataclasses.replace(codesign, handmade=(far, *others))
    assert f"Outside the frames for their log loss: {first.title} (0.7000)." in pareto_panels(moved).caption
    assert "Outside" not in pareto_panels(codesign).caption


def test_energy_parts_add_up(codesign: Codesign) -> None:
    """With more parts than bars, the bars still add up to each mapping's energy; parts of nothing have no bar."""
    parts = {f"part_{number}": 2.0 * number for number in range(15)}
    mappings = [dataclasses.replace(point, energy_breakdown_nj=parts) for point in codesign.pareto]
    naive = dataclasses.replace(codesign.naive, energy_breakdown_nj=parts)
    svg = energy_breakdown(dataclasses.replace(codesign, naive=naive, pareto=tuple(mappings))).svg
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    shown = [f"part {number}" for number in range(14, 7, -1)]
    assert [text for text in texts if text.startswith("part") or text == "all else"] == [*shown, "all else"]
    assert texts.count(significant(sum(2.0 * number for number in range(8)))) == 2
