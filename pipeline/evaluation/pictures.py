"""The pictures of evaluation.html: reliability, and the log loss and calibration of file after file."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from pipeline.evaluation.words import short_name, shown
from pipeline.report.drawing.figure import Picture, inline_svg, new_figure, plain_numbers, report_style
from pipeline.report.drawing.style import BLUE, BROWN, FAINT, MUTED
from pipeline.run.records.evaluation import JudgedFile, ModelEvaluation

DEVIATIONS = 1.96
"""Half of a 95 % interval, in standard errors."""
NAMED_FILES = 16
"""More files than these are numbered, not named."""


def reliability_picture(found: ModelEvaluation) -> Picture:
    """Label ratio over mean prediction, a dot a decile, with what chance alone would move the dots by."""
    hovers: dict[str, str] = {}
    with report_style():
        figure = new_figure(5.6, 4.4)
        axes: Axes = figure.subplots()
        ends = [0.0, 1.05 * max(max(one.mean_prediction, one.label_ratio) for one in found.reliability)]
        axes.plot(ends, ends, color=FAINT, linewidth=1.0)
        for place, one in enumerate(found.reliability):
            error = DEVIATIONS * math.sqrt(one.label_ratio * (1 - one.label_ratio) / one.rows)
            axes.errorbar(one.mean_prediction, one.label_ratio, error, color=BLUE, linewidth=1.0)
            axes.plot(
                one.mean_prediction, one.label_ratio, "o", color=BLUE, ms=5, mec="white", mew=0.5, gid=f"decile-{place}"
            )
            hovers[f"decile-{place}"] = (
                f"{one.rows:,} rows: {one.mean_prediction:.4f} predicted, {one.label_ratio:.4f} clicked"
            )
        axes.set(xlabel="mean prediction", ylabel="share of clicks", xlim=ends, ylim=ends)
        title = "Reliability"
        caption = (
            "A dot a decile of the prediction, with the 95 % interval of its clicks. Above the line more is clicked "
            f"than predicted. The mean distance from it is {found.expected_calibration_error:.4f}."
        )
        return Picture(inline_svg(figure, "reliability", title, caption, hovers), title, caption)


def files_picture(found: ModelEvaluation) -> Picture:
    """Log loss, normalized entropy and calibration of each file, the export's test figures as lines."""
    hovers: dict[str, str] = {}
    panels = (("log_loss", "log loss"), ("normalized_entropy", "normalized entropy"), ("calibration", "calibration"))
    with report_style():
        figure = new_figure(10.2, 5.8)
        for (name, title), axes in zip(panels, figure.subplots(3, 1, sharex=True), strict=True):
            _panel(axes, found.files, name, hovers)
            test = None if found.model.test is None else getattr(found.model.test, name)
            if test is not None:
                axes.axhline(test, color=BROWN, linewidth=1.0, linestyle=(0, (5, 3)))
            axes.set_ylabel(title)
            plain_numbers(axes.yaxis)
        _name_files(axes, found.files)
        title = "File after file"
        caption = "Bars are 95 % intervals" + (
            "." if found.model.test is None else "; the dashed line is the export's figure on its test rows."
        )
        return Picture(inline_svg(figure, "by-file", title, caption, hovers), title, caption)


def _panel(axes: Axes, files: Sequence[JudgedFile], name: str, hovers: dict[str, str]) -> None:
    """One metric of each file that has it."""
    for place, one in enumerate(files):
        value, error = getattr(one.judged.metrics, name), getattr(one.judged.errors, name)
        if value is None:
            continue
        axes.errorbar(place, value, DEVIATIONS * (error or 0.0), color=BLUE, linewidth=1.0)
        axes.plot(place, value, "o", color=BLUE, ms=4.5, mec="white", mew=0.5, gid=f"{name}-{place}")
        hovers[f"{name}-{place}"] = f"{short_name(one.file)}: {value:.5f} ({one.judged.metrics.rows:,} rows)"


def _name_files(axes: Axes, files: Sequence[JudgedFile]) -> None:
    axes.set_xlim(-0.5, len(files) - 0.5)
    if len(files) > NAMED_FILES:
        axes.set_xlabel("number of the file in the log", color=MUTED)
        return
    names = [shown(short_name(one.file), most=24).replace("$", r"\$") for one in files]
    axes.set_xticks(
        range(len(files)), names, rotation=30 if len(files) > 6 else 0, ha="right" if len(files) > 6 else "center"
    )
