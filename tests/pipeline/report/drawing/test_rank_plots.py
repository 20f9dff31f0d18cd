"""The rank study's picture and table hold every score and every network."""

import dataclasses

import numpy
import pytest

from modules.space import OPEN, single_operator_any_connection
from pipeline.report.drawing.rank_plots import rank_panels
from pipeline.report.rank_tables import rank_study_table
from pipeline.run.records.rank_study import RankStudy, StudiedNetwork, StudiedScore
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.settings import RankStudyConfig
from pipeline.search.ranking import agreement, ranking


@pytest.fixture(scope="module")
def study() -> RankStudy:
    """Twelve networks, one of which failed from scratch, and five scores, one of which failed once."""
    generator = numpy.random.default_rng(0)
    losses = generator.normal(0.47, 0.01, (12, 2))
    networks = [
        StudiedNetwork(
            index,
            "good" if index > 8 else "random",
            single_operator_any_connection(OPEN, generator),
            (None, 0.5) if index == 3 else (float(own[0]), float(own[1])),
        )
        for index, own in enumerate(losses)
    ]
    known = [network.index for network in networks if network.loss is not None]
    scores = []
    for place in range(5):
        own = losses.mean(axis=1) + generator.normal(0, 0.004 * (5 - place), 12)
        found = ranking(own[known], losses[known].mean(axis=1), generator)
        values = tuple(None if index == 5 and place == 0 else float(value) for index, value in enumerate(own))
        scores.append(StudiedScore(f"score_{place}", f"the score {place}", values, 0.5 * (1 + place), found))
    again = agreement(losses[known, 0], losses[known, 1], generator)
    return RankStudy(RankStudyConfig(), Recipe(), tuple(networks), 9.5, again, tuple(scores))


def test_every_network_of_every_score_is_drawn(study: RankStudy) -> None:
    """A dot with its two losses for each pair that did not fail, and none for those that did."""
    svg = rank_panels(study).svg
    for one in study.scores:
        for network, score in zip(study.networks, one.scores, strict=True):
            is_drawn = score is not None and network.loss is not None
            assert (f'id="rank-study-{one.name}-{network.index}"' in svg) == is_drawn
            if is_drawn:
                assert f"network {network.index}: {score:.5f} → {network.loss:.5f}" in svg
    assert "triangles" in rank_panels(study).caption


def test_the_table_has_every_score(study: RankStudy) -> None:
    """A line a score in the study's order with its τ, the best marked, and what another seed says last."""
    table = rank_study_table(study)
    assert [row.cells[0] for row in table.rows[:-1]] == [one.title for one in study.scores]
    assert [row.cells[2] for row in table.rows[:-1]] == [f"{one.ranking.kendall_tau.value:.2f}" for one in study.scores]
    best = max(range(5), key=lambda place: study.scores[place].ranking.kendall_tau.value)
    assert [bool(row.best) for row in table.rows] == [place == best for place in range(6)]
    assert study.scratch_tau is not None and table.rows[-1].cells[2] == f"{study.scratch_tau.value:.2f}"
    alone = rank_study_table(dataclasses.replace(study, scratch_tau=None))
    assert len(alone.rows) == len(study.scores)
