"""ReRAM processing-in-memory co-design: what a model costs on crossbars, and a search for its mapping.

The folders build on each other: devices → circuits → (hardware.py) → mapping → cost → functional → search.
docs/reram.md has the model, its equations and constants, and how it is validated.
"""

from pim_codesign.cost import Cost, evaluate, evaluate_many
from pim_codesign.functional import Bits, Calibration, Crossbars, Imperfections, calibrate, quantize
from pim_codesign.hardware import PRESETS, Hardware
from pim_codesign.mapping import Mapping, OperatorMapping, Workload, workload_of_subnet
from pim_codesign.overrides import ChipOptions, with_options
from pim_codesign.search import CodesignConfig, CodesignResult, Point, bits_key, naive_point, search

__all__ = [
    "PRESETS",
    "Bits",
    "Calibration",
    "ChipOptions",
    "CodesignConfig",
    "CodesignResult",
    "Cost",
    "Crossbars",
    "Hardware",
    "Imperfections",
    "Mapping",
    "OperatorMapping",
    "Point",
    "Workload",
    "bits_key",
    "calibrate",
    "evaluate",
    "evaluate_many",
    "naive_point",
    "quantize",
    "search",
    "with_options",
    "workload_of_subnet",
]
