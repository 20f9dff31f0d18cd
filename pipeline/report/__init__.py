"""The report: a run's folder as one HTML page, and architectures drawn as text and as SVG."""

from pipeline.report.page import write_report
from pipeline.report.picture import draw_svg
from pipeline.report.terminal import draw_text

__all__ = ["draw_svg", "draw_text", "write_report"]
