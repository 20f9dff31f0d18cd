"""The report's style: one palette and one typeface for the drawings, the plots and the page.

Colours are Okabe and Ito's (Color Universal Design, 2008), which people with every common colour-vision deficiency can
tell apart. Nothing is shown by colour alone: dense and sparse also differ by place, models by marker, mappings by
marker and label.
"""

from pipeline.run.records.results import ModelKind

FONT = "Inter, 'Segoe UI', 'Helvetica Neue', Helvetica, Arial, 'DejaVu Sans', sans-serif"

INK = "#1f2430"
MUTED = "#646c7a"
FAINT = "#aab1bd"
HAIRLINE = "#e3e6eb"
PAPER = "#ffffff"
BAND = "#f6f7f9"

BLUE = "#0072b2"
VERMILION = "#d55e00"
GREEN = "#009e73"
PURPLE = "#b25f91"
GOLD = "#c98a00"
SKY = "#56b4e9"
BROWN = "#8c510a"

DENSE, DENSE_TINT = BLUE, "#eaf3f9"
SPARSE, SPARSE_TINT = VERMILION, "#fdf1e8"

KIND_COLOURS: dict[ModelKind, str] = {"searched": BLUE, "given": PURPLE, "handmade": VERMILION}
KIND_MARKERS: dict[ModelKind, str] = {"searched": "o", "given": "h", "handmade": "s"}
KIND_TITLES: dict[ModelKind, str] = {"searched": "searched", "given": "given as a file", "handmade": "hand-made"}
"""What legends and tables call a kind."""
HANDMADE_MARKERS = ("s", "^", "D", "P", "v", "X")
"""Hand-made models beside one another, in their order."""
