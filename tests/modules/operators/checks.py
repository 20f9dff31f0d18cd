"""Checks that hold for every operator: counts are torch's, parameters and script are the described network's.

Formulas are each operator's own test; B, D and `Plain` are in plain.py.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, mm_flop, sdpa_flop_count

from modules.operators import Operator, build
from tests.modules.operators.plain import B, Plain, close


def flat(vectors: Tensor) -> Tensor:
    """[B, D, n] → [B, n · D], vector by vector."""
    return torch.cat(vectors.unbind(2), 1)


def rebuilt(own: Plain, operator: Operator) -> nn.Module:
    """Another operator on the same layers."""
    return build(operator.name, operator, own.block, own.inputs, own.layers)


def _products(*_: Any, out_val: Tensor, **__: Any) -> int:
    """One product a number; index arithmetic is not counted."""
    return 2 * out_val.numel() * out_val.is_floating_point()


_products._get_raw = True  # type: ignore[attr-defined]  # torch's counter passes the tensors, not their shapes
ATEN = torch.ops.aten
NOT_COUNTED_BY_TORCH = {
    ATEN.addmm_: lambda _, a, b, **__: mm_flop(a, b),
    ATEN.mul: _products,  # gates
    ATEN.pow: _products,  # squares
    ATEN._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
}
"""What torch's counter leaves out, for its `custom_mapping`."""


def _own_pairs(left: torch.Size, right: torch.Size, **_: Any) -> int:
    batch, count, width = left
    assert right == (batch, width, count)
    return 2 * batch * width * (count * (count - 1) // 2)


EACH_PAIR_ONCE = {**NOT_COUNTED_BY_TORCH, ATEN.bmm: _own_pairs}
"""The same for networks whose only batched products are inner products of m vectors with themselves: torch counts the
full square, of which the m(m − 1)/2 pairs are read."""


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
