"""Exact multiply-accumulates and parameters of a baseline, by the rules of modules.space for searched architectures.

Counted: I · O for every linear layer, 2 · N · r for every low-rank cross layer, and one for every product of two
computed numbers (inner products, each pair once; the cross layers' x₀ ⊙ (…); a factorization machine's squares).
Not counted: embedding tables, biases, activations, sums, constants.
"""

from torch import nn
from torchrec.modules.crossnet import LowRankCrossNet

from modules.baselines.deepfm import DeepFMInteraction
from modules.baselines.dlrm import DCNInteraction, DLRMInteraction


def multiply_accumulates(interaction: DLRMInteraction | DCNInteraction | DeepFMInteraction) -> int:
    """Multiply-accumulates a row.

    >>> from modules.space import InputShape
    >>> from modules.baselines import BASELINES
    >>> multiply_accumulates(BASELINES["dlrm"].build(InputShape(13, 26, 16), None))
    479984
    """
    total = interaction.interaction_products
    for module in interaction.modules():
        if isinstance(module, nn.Linear):
            total += module.in_features * module.out_features
        elif isinstance(module, LowRankCrossNet):
            total += sum(kernel.numel() for kernel in [*module.W_kernels, *module.V_kernels])
    return total


def parameter_count(interaction: nn.Module) -> int:
    """Numbers that training changes, embedding tables not counted."""
    return sum(parameter.numel() for parameter in interaction.parameters())
