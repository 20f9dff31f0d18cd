"""DLRM-DCN's cross network against torchrec's, in every form that it has; whole models are in test_dlrm.py."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torchrec.modules.crossnet import CrossNet, LowRankCrossNet

from modules.baselines import DLRMDCN
from modules.baselines.dlrm_dcn import ScriptableLowRankCrossNet
from modules.operators import InputShape

N, LAYERS, RANK = 12, 3, 5


def networks(rank: int = RANK) -> tuple[ScriptableLowRankCrossNet, LowRankCrossNet, Tensor]:
    """Ours and torchrec's on the same random weights, biases too, in float64; and rows."""
    generator = torch.Generator().manual_seed(0)
    ours = ScriptableLowRankCrossNet(N, LAYERS, rank).double()
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    theirs = LowRankCrossNet(N, LAYERS, rank).double()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs, torch.randn(7, N, dtype=torch.float64, generator=generator)


def gradients(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Of every parameter by its name."""
    network.zero_grad()
    network(x).sin().sum().backward()
    return {name: parameter.grad for name, parameter in network.named_parameters()}


@pytest.mark.parametrize("form", [lambda network: network, torch.jit.script], ids=["eager", "scripted"])
def test_it_computes_what_torchrecs_does(form) -> None:
    """Values and the gradients of every parameter, under torchrec's names."""
    ours, theirs, x = networks()
    torch.testing.assert_close(form(ours)(x), theirs(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients(form(ours), x), gradients(theirs, x), rtol=1e-12, atol=1e-12)


def test_matrices_as_modules_are_the_same_function_on_the_same_parameters() -> None:
    """Each matrix is a linear layer at the parameter's own path; training one form trains the other."""
    ours, _, x = networks()
    modules = ours.with_matrices_as_modules()
    torch.testing.assert_close(modules(x), ours(x), rtol=1e-12, atol=1e-12)
    linears = {path: layer.weight for path, layer in modules.named_modules() if isinstance(layer, nn.Linear)}
    matrices = {path: parameter for path, parameter in ours.named_parameters() if parameter.dim() > 1}
    assert linears.keys() == matrices.keys()
    assert all(linears[path] is matrices[path] for path in matrices)
    assert {id(parameter) for parameter in modules.parameters()} == {id(parameter) for parameter in ours.parameters()}


def test_a_full_rank_is_the_full_cross_network() -> None:
    """With rank N and V the identity it is DCN-v2's cross network with matrices W."""
    ours, _, x = networks(rank=N)
    full = CrossNet(N, LAYERS).double()
    with torch.no_grad():
        for layer in range(LAYERS):
            ours.V_kernels[layer].copy_(torch.eye(N))
            full.kernels[layer].copy_(ours.W_kernels[layer])
            full.bias[layer].copy_(ours.bias[layer][:, None])
    torch.testing.assert_close(ours(x), full(x), rtol=1e-12, atol=1e-12)


@given(st.integers(1, 60), st.integers(1, 20), st.none() | st.integers(1, 50))
def test_the_rank_is_the_given_one_or_a_quarter(fields: int, width: int, rank: int | None) -> None:
    """Every cross layer has matrices of that rank on N = (F + 1) · D numbers, never of none."""
    shape, baseline = InputShape(1, fields, width), DLRMDCN((), (1,), cross_layers=2, cross_rank=rank)
    crossed = (fields + 1) * width
    expected = rank or max(1, crossed // 4)
    matrices = [step.matrix for step in baseline.steps(shape) if "crossnet" in step.name]
    sizes = [(matrix.inputs, matrix.outputs) for matrix in matrices if matrix]
    assert sizes == [(crossed, expected), (expected, crossed)] * 2


@pytest.mark.parametrize("field", ["cross_layers", "cross_rank"])
def test_empty_cross_networks_are_refused(field: str) -> None:
    """One layer and rank one are the least; less is an error that names the field."""
    DLRMDCN(cross_layers=1, cross_rank=1)
    with pytest.raises(ValueError, match=rf"DLRMDCN\.{field} is -1"):
        DLRMDCN(**{field: -1})
