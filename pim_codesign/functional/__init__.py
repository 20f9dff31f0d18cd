"""What a model computes on the chip: its static matrices quantized (fast, for the search) or bit by bit."""

from pim_codesign.functional.bit_true import Crossbars, Imperfections
from pim_codesign.functional.calibration import Calibration, calibrate
from pim_codesign.functional.quantize import Bits, quantize

__all__ = ["Bits", "Calibration", "Crossbars", "Imperfections", "calibrate", "quantize"]
