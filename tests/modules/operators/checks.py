"""Checks that hold for every operator: counts are torch's, parameters and script are the described network's.

Formulas are each operator's own test; B, D and `Plain` are in plain.py.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, mm_flop

from modules.operators import Operator, build
from tests.modules.operators.plain import B, Plain, close


def flat(vectors: Tensor) -> Tensor:
    """[B, D, n] → [B, n · D], vector by vector."""
    return torch.cat(vectors.unbind(2), 1)


def rebuilt(own: Plain, operator: Operator) -> nn.Module:
    """Another operator on the same layers."""
    return build(operator.name, operator, own.block, own.inputs, own.layers)


def _products(*_: Any, out_val: Tensor, **__: Any) -> int:
    return 2 * out_val.numel() * out_val.is_floating_point()


_products._get_raw = True  # type: ignore[attr-defined]
NOT_COUNTED_BY_TORCH = {torch.ops.aten.addmm_: lambda _, a, b, **__: mm_flop(a, b), torch.ops.aten.mul: _products}


def check_network(own: Plain) -> None:
    """Multiply-accumulates are half of torch's FLOPs, elementwise ones included; built layers are the steps'.

    Scripted the network gives the same numbers.
    """
    with FlopCounterMode(display=False, custom_mapping=NOT_COUNTED_BY_TORCH) as counter, torch.no_grad():
        output = own.network(own.dense, own.sparse)
    assert counter.get_total_flops() == 2 * B * own.multiply_accumulates
    layers = {step.name for step in own.steps if step.matrix} | {step.norm.name for step in own.steps if step.norm}
    assert {name.rpartition(".")[0] for name, _ in own.network.named_parameters()} == layers
    parameters = sum(parameter.numel() for parameter in own.network.parameters())
    assert parameters == sum(step.parameters() for step in own.steps)
    close(torch.jit.script(own.network.eval())(own.dense, own.sparse), output)
