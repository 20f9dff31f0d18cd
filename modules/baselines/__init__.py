"""The models to beat: torchrec's own DLRM, DLRM with DCN-v2 and DeepFM, dense parts only.

B batch, I dense inputs, F categorical fields, D embedding width. Each is an `nn.Module` with
`forward(dense [B, I], sparse [B, F, D]) -> logit [B]`, as a `Subnet` is, so one trainer, one chip model and one export
serve all.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from modules.baselines.counting import multiply_accumulates, parameter_count
from modules.baselines.deepfm import DeepFMConfig, DeepFMInteraction
from modules.baselines.dlrm import DCNConfig, DCNInteraction, DLRMConfig, DLRMInteraction
from modules.space import InputShape

__all__ = [
    "BASELINES",
    "Baseline",
    "DCNConfig",
    "DCNInteraction",
    "DLRMConfig",
    "DLRMInteraction",
    "DeepFMConfig",
    "DeepFMInteraction",
    "multiply_accumulates",
    "parameter_count",
]


@dataclass(frozen=True)
class Baseline:
    """A baseline by name."""

    title: str
    """What tables and pictures call it."""
    build: Callable[[InputShape, torch.Generator | None], nn.Module]
    """(shape, generator) -> the interaction with its default sizes; without a generator torch's global one is used."""


BASELINES: dict[str, Baseline] = {
    "dlrm": Baseline("DLRM", lambda shape, generator: DLRMInteraction(shape, generator=generator)),
    "dlrm_dcn": Baseline("DLRM + DCN-v2", lambda shape, generator: DCNInteraction(shape, generator=generator)),
    "deepfm": Baseline("DeepFM", lambda shape, generator: DeepFMInteraction(shape, generator=generator)),
}
