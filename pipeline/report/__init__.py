"""The report: a run's folder as one HTML page, and architectures drawn as text and as SVG."""

from pipeline.report.drawing.architecture_svg import draw_svg
from pipeline.report.drawing.terminal import draw_text
from pipeline.report.page import write_report

__all__ = ["draw_svg", "draw_text", "write_report"]
