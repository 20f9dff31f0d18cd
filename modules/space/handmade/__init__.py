"""Models that people made, as architectures of the open space: one file each, with the published formula as its test.

They can be trained beside a search's winners, and mutated. What they have in common is in blocks.py.
"""

from collections.abc import Callable

from modules.operators import InputShape
from modules.space.architecture import Architecture
from modules.space.handmade.autoint import autoint
from modules.space.handmade.autoint_plus import autoint_plus
from modules.space.handmade.dcn_v2 import dcn_v2
from modules.space.handmade.dcn_v2_parallel import dcn_v2_parallel
from modules.space.handmade.deepfm import deepfm
from modules.space.handmade.dlrm import dlrm
from modules.space.handmade.dlrm_dcn import dlrm_dcn
from modules.space.handmade.dnn import dnn
from modules.space.handmade.finalmlp import finalmlp
from modules.space.handmade.finalnet import finalnet
from modules.space.handmade.logistic_regression import logistic_regression
from modules.space.handmade.masknet import masknet
from modules.space.handmade.wide_and_deep import wide_and_deep
from modules.space.handmade.xdeepfm import xdeepfm

HANDMADE: dict[str, Callable[[InputShape], Architecture]] = {
    "logistic_regression": logistic_regression,
    "dnn": dnn,
    "wide_and_deep": wide_and_deep,
    "dlrm": dlrm,
    "dlrm_dcn": dlrm_dcn,
    "dcn_v2": dcn_v2,
    "dcn_v2_parallel": dcn_v2_parallel,
    "deepfm": deepfm,
    "xdeepfm": xdeepfm,
    "autoint": autoint,
    "autoint_plus": autoint_plus,
    "masknet": masknet,
    "finalnet": finalnet,
    "finalmlp": finalmlp,
}
"""Each model by its name, at its published size where the space's widths allow."""

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
"""What people call each model."""


def handmade(name: str, shape: InputShape) -> Architecture:
    """The architecture of the model. Raises ValueError for an unknown name.

    >>> from modules.space import SPACES
    >>> for name in HANDMADE:
    ...     SPACES["open"].check(handmade(name, InputShape(13, 26, 16)))
    """
    if name not in HANDMADE:
        raise ValueError(f"hand-made model {name!r} is unknown; there are {list(HANDMADE)}")
    return HANDMADE[name](shape)


__all__ = ["HANDMADE", "TITLES", "handmade"]
