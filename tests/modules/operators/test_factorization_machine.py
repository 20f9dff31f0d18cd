"""The factorization machine against its sum over pairs."""

import itertools

import torch
from torch.utils.flop_counter import FlopCounterMode

from modules.operators import FactorizationMachine
from tests.modules.operators.checks import NOT_COUNTED_BY_TORCH
from tests.modules.operators.plain import B, D, close, plain


def own():
    """Over 3 and 2 vectors."""
    return plain(FactorizationMachine(), (4,), (3, 2), sparse_inputs=(0, 1))


def test_formula():
    """Σ_{i<j} v_i ⊙ v_j, pair by pair."""
    machine = own()
    vectors = torch.cat(machine.sparse, 2).unbind(2)
    close(machine.network(machine.dense, machine.sparse), sum(a * b for a, b in itertools.combinations(vectors, 2)))


def test_counts():
    """Its squares are what torch's counter sees run; it has no layers, and is as wide as an embedding."""
    machine = own()
    counted = {**NOT_COUNTED_BY_TORCH, torch.ops.aten.pow: NOT_COUNTED_BY_TORCH[torch.ops.aten.mul]}
    with FlopCounterMode(display=False, custom_mapping=counted) as counter:
        machine.network(machine.dense, machine.sparse)
    assert counter.get_total_flops() == 2 * B * machine.multiply_accumulates == 2 * B * (5 + 1) * D
    assert not machine.layers and machine.operator.width(machine.block, machine.inputs.shape) == D


def test_scripted():
    """Scripted it is the same."""
    machine = own()
    given = machine.dense, machine.sparse
    close(torch.jit.script(machine.network)(*given), machine.network(*given))
