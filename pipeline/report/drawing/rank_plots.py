"""The rank study as a picture: each score against the log loss from scratch, a panel a score."""

from pipeline.report.drawing.figure import Picture, inline_svg, new_figure, plain_numbers, report_style
from pipeline.report.drawing.style import BLUE, VERMILION
from pipeline.run.records.rank_study import RankStudy

_COLUMNS = 4
"""Panels in a line."""
_ORIGINS = {"random": (BLUE, "o"), "good": (VERMILION, "^")}
"""Colour and marker of networks by where they come from."""


def rank_panels(study: RankStudy) -> Picture:
    """A panel a score, cheapest first: a dot a network, the score across, the mean log loss from scratch upwards."""
    lines = -(-len(study.scores) // _COLUMNS)
    hovers: dict[str, str] = {}
    with report_style():
        figure = new_figure(10.2, 2.7 * lines)
        panels = figure.subplots(lines, _COLUMNS, squeeze=False, sharey=True).flatten()
        for axes, one in zip(panels, study.scores, strict=False):
            for network, score in zip(study.networks, one.scores, strict=True):
                if score is None or network.loss is None:
                    continue
                colour, marker = _ORIGINS[network.origin]
                name = f"{one.name}-{network.index}"
                axes.plot(score, network.loss, marker, ms=4.5, color=colour, mec="white", mew=0.5, gid=name)
                hovers[name] = f"network {network.index}: {score:.5f} → {network.loss:.5f}"
            axes.set_title(f"{one.title}\nτ {one.ranking.kendall_tau.value:.2f}, {one.cpu_s:.2g} CPU-s", fontsize=8)
            axes.locator_params(axis="x", nbins=4)
            plain_numbers(axes.xaxis)
            plain_numbers(axes.yaxis)
        for axes in panels[len(study.scores) :]:
            axes.set_axis_off()
        for axes in panels[::_COLUMNS]:
            axes.set_ylabel("log loss from scratch")
        title = "Scores against training from scratch"
        described = "; ".join(f"{one.title}: τ {one.ranking.kendall_tau.value:.2f}" for one in study.scores)
        svg = inline_svg(figure, "rank-study", title, described, hovers)
    caption = "Validation log losses. A rising line of dots would be a perfect ranking."
    if any(network.origin == "good" for network in study.networks):
        caption += " Dots are random networks, triangles the best that the search had scored."
    return Picture(svg, title, caption)
