"""ISAAC's component table (ISCA'16, table 6): 32 nm, 128 × 128 crossbars, 100 ns cycles.

The chip's tiles and registers take their areas and powers from here.
"""

from dataclasses import dataclass

ARRAYS_PER_IMA = 8
"""Crossbars of an in-situ multiply-accumulate unit (IMA)."""
IMAS_PER_TILE = 12
"""IMAs of a tile."""
ARRAY_ROWS = 128
"""Rows, and columns, of a crossbar."""


@dataclass(frozen=True)
class Component:
    """One line of the table: all units of a kind in one tile or IMA."""

    name: str
    """What the parts are."""
    power_mw: float
    """Power of all units together, mW."""
    area_mm2: float
    """Area of all units together, mm²."""


TILE = (
    Component("edram", 20.7, 0.083),
    Component("bus", 7.0, 0.090),
    Component("router", 42.0 / 4, 0.151 / 4),
    Component("sigmoid", 0.52, 0.0006),
    Component("shift_add", 0.05, 0.00006),
    Component("max_pool", 0.4, 0.00024),
    Component("output_register", 1.68, 0.0032),
)
"""A tile without its IMAs: 64 KB of eDRAM, a 384-wire bus, a quarter of a router, two sigmoid units and so on."""

IMA = (
    Component("adc", 16.0, 0.0096),
    Component("dac", 4.0, 0.00017),
    Component("sample_hold", 0.01, 0.00004),
    Component("array", 2.4, 0.0002),
    Component("shift_add", 0.2, 0.00024),
    Component("input_register", 1.24, 0.0021),
    Component("output_register", 0.23, 0.00077),
)
"""8 arrays with 8 ADCs, 8 × 128 DACs and their registers."""

# The parts of this project's own tiles: it has no pooling, and counts sigmoids and shift-adds where they are used.
TILE_BUFFERS = tuple(part for part in TILE if part.name in {"edram", "bus", "router", "output_register"})
IMA_REGISTERS = tuple(part for part in IMA if part.name.endswith("_register"))


def power_mw(parts: tuple[Component, ...]) -> float:
    """Power of the parts together, mW."""
    return sum(part.power_mw for part in parts)


def area_mm2(parts: tuple[Component, ...]) -> float:
    """Area of the parts together, mm².

    >>> round(area_mm2(TILE) + IMAS_PER_TILE * area_mm2(IMA), 3)
    0.372
    """
    return sum(part.area_mm2 for part in parts)
