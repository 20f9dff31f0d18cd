"""Interacting attention against AutoInt's formula and torch's count."""

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from modules.operators import InteractingAttention
from tests.modules.operators.checks import NOT_COUNTED_BY_TORCH
from tests.modules.operators.plain import B, D, close, plain

F, N = 6, 4


def own(**options):
    """On 6 vectors of the stem, or 9 projected to 4."""
    return plain(InteractingAttention(**options), (2,), (F, 3), sparse_inputs=(0, 1), sparse_width=N)


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize(("layers", "heads", "norm"), [(1, 1, False), (3, 2, False), (2, 4, True), (1, 3, False)])
def test_formula(project, layers, heads, norm):
    """AutoInt's equations 5 to 8, token by token and head by head, with 1/√w in W_Q; 3 heads do not divide 8."""
    attention = own(project=project, layers=layers, heads=heads, norm=norm)
    x = attention.linear("project", torch.cat(attention.sparse, 2)) if project else attention.sparse[0]
    x, used = x.transpose(1, 2), math.gcd(heads, D)
    width = D // used
    for layer in range(layers):
        query, key, value = attention.layers[f"interact.{layer}.query_key_value"].weight.split(D)
        found = []
        for head in range(used):
            own_rows = slice(head * width, (head + 1) * width)
            scores = (x @ (query[own_rows] / math.sqrt(width)).T) @ (x @ key[own_rows].T).transpose(1, 2)
            found.append(scores.exp() / scores.exp().sum(2, keepdim=True) @ (x @ value[own_rows].T))
        x = torch.cat(found, 2) + attention.linear(f"interact.{layer}.residual", x)
        x = (attention.normed(f"interact.{layer}.norm", x) if norm else x).clamp(min=0)
    close(attention.network(attention.dense, attention.sparse), x.transpose(1, 2))


@pytest.mark.parametrize("project", [False, True])
def test_counts(project):
    """Projections and attention of both layers are what torch's counter sees run."""
    attention = own(project=project, layers=2, heads=2)
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    counted = {**NOT_COUNTED_BY_TORCH, flash: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v)}
    with FlopCounterMode(display=False, custom_mapping=counted) as counter, torch.no_grad():
        attention.network(attention.dense, attention.sparse)
    assert counter.get_total_flops() == 2 * B * attention.multiply_accumulates
    n = N if project else F
    assert attention.operator.width(attention.block, attention.inputs.shape) == n
    assert attention.multiply_accumulates == project * D * (F + 3) * N + 2 * (4 * n * D * D + 2 * n * n * D)
    assert sum(step.function_evaluations for step in attention.steps) == 2 * n * n * 2


@pytest.mark.parametrize("project", [False, True])
def test_scripted(project):
    """Scripted it is the same."""
    attention = own(project=project, layers=2, norm=True)
    scripted = torch.jit.script(attention.network)
    with torch.no_grad():
        close(scripted(attention.dense, attention.sparse), attention.network(attention.dense, attention.sparse))


@pytest.mark.parametrize("wrong", ["layers", "heads"])
def test_no_layers_and_no_heads_are_refused(wrong):
    """There is at least one of each."""
    with pytest.raises(ValueError, match=f"{wrong}: 0"):
        InteractingAttention(**{wrong: 0})
