"""The plot of several races on one log: how the best validation log loss fell with the rows trained."""

from collections.abc import Sequence

import numpy

from pipeline.report.drawing.figure import Picture, inline_svg, new_figure, plain_numbers, report_style
from pipeline.report.drawing.style import BLUE, BROWN, GOLD, GREEN, PURPLE, SKY, VERMILION
from pipeline.report.words import counted
from pipeline.run.records.race import Trial

COLOURS = (BLUE, VERMILION, GREEN, PURPLE, GOLD, SKY, BROWN)
DASHES = ("-", "--", ":")
"""Runs beyond the colours have them again, dashed."""


def best_so_far(log: str, races: Sequence[tuple[str, Sequence[Trial]]], place: int) -> Picture:
    """A falling line a run; `place` tells the pictures of one page apart."""
    name, title = f"runs-{place}", f"Races on {log}"
    with report_style():
        figure = new_figure(10.2, 3.4)
        axes, hovers = figure.add_subplot(), dict[str, str]()
        for number, (run, trials) in enumerate(races):
            rows, best = falling(trials)
            if not len(rows):
                continue
            gid = f"run-{number}"
            style = DASHES[number // len(COLOURS) % len(DASHES)]
            colour = COLOURS[number % len(COLOURS)]
            axes.step(rows, best, style, where="post", color=colour, linewidth=1.6, label=run, gid=gid)
            hovers[gid] = f"{run}: {best[-1]:.5f} after {rows[-1]:.1f} million rows"
        axes.set(xlabel="rows trained in the race (millions)", ylabel="best validation log loss")
        axes.margins(x=0.02)
        plain_numbers(axes.yaxis)
        figure.legend(loc="outside upper left", ncols=5, columnspacing=1.4)
        svg = inline_svg(figure, name, title, counted(len(races), "run"), hovers)
    caption = "The best validation log loss so far of trainings on all rows, over all rows that the race had trained."
    return Picture(svg, title, caption)


def falling(trials: Sequence[Trial]) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Millions of rows trained when each whole trial ended, and the least log loss of them until then; then the end."""
    trials = sorted(trials, key=lambda trial: trial.index)
    rows = numpy.cumsum([trial.rows for trial in trials]) / 1e6
    whole = [
        (float(at), trial.valid_log_loss)
        for at, trial in zip(rows, trials, strict=True)
        if trial.is_whole and trial.valid_log_loss is not None
    ]
    if not whole:
        return numpy.empty(0), numpy.empty(0)
    at, losses = zip(*whole, strict=True)
    best = numpy.minimum.accumulate(losses)
    return numpy.array([*at, rows[-1]]), numpy.array([*best, best[-1]])
