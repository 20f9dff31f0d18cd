"""The report: a run's folder as one HTML page, and architectures drawn as text and as SVG."""

from typing import TYPE_CHECKING

from modules.lazy import imported_on_use

if TYPE_CHECKING:
    from pipeline.report.drawing.architecture_svg import draw_svg
    from pipeline.report.drawing.terminal import draw_text
    from pipeline.report.page import write_report

__all__ = ["draw_svg", "draw_text", "write_report"]

__getattr__ = imported_on_use(
    __name__,
    {
        "pipeline.report.drawing.architecture_svg": ("draw_svg",),
        "pipeline.report.drawing.terminal": ("draw_text",),
        "pipeline.report.page": ("write_report",),
    },
)
