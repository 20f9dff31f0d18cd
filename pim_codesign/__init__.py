"""ReRAM processing-in-memory co-design: what a model costs on crossbars, and a search for its mapping.

The folders build on each other: devices → circuits → (hardware.py) → mapping → cost → functional → search.
docs/reram.md has the model, its equations and constants, and how it is validated.
"""

from typing import TYPE_CHECKING

from modules.lazy import imported_on_use

if TYPE_CHECKING:
    from pim_codesign.chip_file import read_chip
    from pim_codesign.cost import Breakdown, Cost, breakdown, evaluate, evaluate_many
    from pim_codesign.functional import Bits, Calibration, Crossbars, Imperfections, calibrate, quantize
    from pim_codesign.hardware import PRESETS, Hardware
    from pim_codesign.mapping import Mapping, OperatorMapping, Workload, bits_of_subnet, workload_of_subnet
    from pim_codesign.overrides import ChipOptions, with_options
    from pim_codesign.search.config import CodesignConfig
    from pim_codesign.search.result import CodesignResult, Point, naive_point
    from pim_codesign.search.search import bits_key

__all__ = [
    "PRESETS",
    "Bits",
    "Breakdown",
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
    "bits_of_subnet",
    "breakdown",
    "calibrate",
    "evaluate",
    "evaluate_many",
    "naive_point",
    "quantize",
    "read_chip",
    "with_options",
    "workload_of_subnet",
]

__getattr__ = imported_on_use(
    __name__,
    {
        "pim_codesign.chip_file": ("read_chip",),
        "pim_codesign.cost": ("Breakdown", "Cost", "breakdown", "evaluate", "evaluate_many"),
        "pim_codesign.functional": ("Bits", "Calibration", "Crossbars", "Imperfections", "calibrate", "quantize"),
        "pim_codesign.hardware": ("PRESETS", "Hardware"),
        "pim_codesign.mapping": ("Mapping", "OperatorMapping", "Workload", "bits_of_subnet", "workload_of_subnet"),
        "pim_codesign.overrides": ("ChipOptions", "with_options"),
        "pim_codesign.search.config": ("CodesignConfig",),
        "pim_codesign.search.result": ("CodesignResult", "Point", "naive_point"),
        "pim_codesign.search.search": ("bits_key",),
    },
)
