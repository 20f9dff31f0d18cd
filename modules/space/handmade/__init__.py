"""Models that people made, as architectures of the open space: one file each, with the published formula as its test.

They can be trained beside a search's winners, and mutated. What they have in common is in blocks.py. A model's file and
the function in it are called by its name, and are imported when it is made: settings that only name models do without.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modules.operators import InputShape
    from modules.space.architecture import Architecture

TITLES = {
    "logistic_regression": "Logistic regression",
    "dnn": "DNN",
    "wide_and_deep": "Wide & Deep",
    "dlrm": "DLRM",
    "dlrm_dcn": "DLRM + DCN-v2",
    "dcn_v2": "DCN-v2",
    "dcn_v2_parallel": "DCN-v2 (parallel)",
    "deepfm": "DeepFM",
    "xdeepfm": "xDeepFM",
    "autoint": "AutoInt",
    "autoint_plus": "AutoInt+",
    "masknet": "MaskNet",
    "finalnet": "FinalNet",
    "finalmlp": "FinalMLP",
}
"""The models by name, and what people call each."""

HANDMADE = tuple(TITLES)
"""Their names."""


def handmade(name: str, shape: "InputShape") -> "Architecture":
    """The architecture of the model, at its published size where the space's widths allow.

    Raises ValueError for an unknown name.

    >>> from modules.space import SPACES, InputShape
    >>> for name in HANDMADE:
    ...     SPACES["open"].check(handmade(name, InputShape(13, 26, 16)))
    """
    if name not in TITLES:
        raise ValueError(f"hand-made model {name!r} is unknown; there are {list(HANDMADE)}")
    architecture: Architecture = getattr(importlib.import_module(f"{__name__}.{name}"), name)(shape)
    return architecture


__all__ = ["HANDMADE", "TITLES", "handmade"]
