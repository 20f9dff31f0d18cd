"""Names of spaces and samplers, apart from what they name: settings are checked by them without importing torch."""

from typing import Literal

SpaceName = Literal["nasrec_small", "nasrec_full", "open"]
"""The spaces of `modules.space.SPACES`."""

PrecisionName = Literal["float", "mixed"]
"""Whether the operators of a space compute in floating point, or their bits are a choice."""

SAMPLER_NAMES = ("single_operator_any_connection", "single_path", "any_path", "full_path")
"""The samplers, each the function of its name in sampling.py."""
