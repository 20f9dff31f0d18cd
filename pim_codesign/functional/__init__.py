"""What a model computes on the chip: its static matrices at few bits."""

from pim_codesign.functional.calibration import Calibration, calibrate
from pim_codesign.functional.quantize import Bits, quantize

__all__ = ["Bits", "Calibration", "calibrate", "quantize"]
