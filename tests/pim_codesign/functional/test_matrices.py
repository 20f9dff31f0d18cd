"""Static matrices as modules: found wherever they are kept, in a copy that computes the same."""

import pytest
import torch
from torch import Tensor, nn

from modules.baselines import DLRMDCN
from modules.baselines.dlrm_dcn import ScriptableLowRankCrossNet
from modules.operators import InputShape, Linear
from pim_codesign.functional.matrices import HoldsMatrices, joined, matrices, replace, with_matrices_as_modules

N = 6


def cross_network() -> ScriptableLowRankCrossNet:
    """A module that keeps its matrices as bare parameters, with random weights in float64."""
    network = ScriptableLowRankCrossNet(N, 2, 3).double()
    for place, parameter in enumerate(network.parameters()):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(place))
    return network


MODELS = {
    "alone": cross_network,
    "inside": lambda: nn.Sequential(nn.Linear(N, N).double(), cross_network()),
    "deeper": lambda: nn.Sequential(nn.Sequential(cross_network(), nn.Tanh()), cross_network()),
    "none": lambda: nn.Sequential(nn.Linear(N, 4), nn.ReLU(), nn.Linear(4, 1)).double(),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_matrix_is_a_module_at_its_parameters_path(model) -> None:
    """The copy computes the same by its linear layers, which are the model's two-dimensional parameters."""
    own = model()
    x = torch.randn(5, N, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    copy, ran = with_matrices_as_modules(own), set()
    for name, layer in matrices(copy):
        layer.register_forward_hook(lambda module, inputs, output, name=name: ran.add(name))
    torch.testing.assert_close(copy(x), own(x), rtol=1e-12, atol=1e-12)
    bare = {name.removesuffix(".weight"): weight for name, weight in own.named_parameters() if weight.dim() > 1}
    found = dict(matrices(copy))
    assert found.keys() == bare.keys() == ran
    assert all(torch.equal(layer.weight, bare[name]) for name, layer in found.items())


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_model_is_left_as_it_was(model) -> None:
    """The copy shares no memory with it, and its modules stay in their places."""
    own = model()
    before, modules = {name: p.clone() for name, p in own.named_parameters()}, dict(own.named_modules())
    with torch.no_grad():
        for parameter in with_matrices_as_modules(own).parameters():
            parameter.zero_()
    assert dict(own.named_modules()) == modules
    assert all(torch.equal(parameter, before[name]) for name, parameter in own.named_parameters())


def test_a_whole_baseline_hides_no_matrix() -> None:
    """In DLRM-DCN's copy no matrix is left that is not in a linear layer: those are the described steps' matrices."""
    shape, baseline = InputShape(2, 3, 4), DLRMDCN((5,), (7,), cross_layers=2, cross_rank=3)
    model = with_matrices_as_modules(baseline.build(shape, torch.Generator().manual_seed(0)))
    assert not any(isinstance(module, HoldsMatrices) for module in model.modules())
    assert {name for name, _ in matrices(model)} == {step.name for step in baseline.steps(shape) if step.matrix}


def test_matrices_are_torchs_linear_layers_and_the_supernets() -> None:
    """Both kinds are found with their paths; norms, activations and embeddings are none."""
    model = nn.ModuleDict(
        {
            "torch": nn.Linear(2, 3),
            "supernet": Linear(2, 3, False, None),
            "norm": nn.LayerNorm(3),
            "table": nn.Embedding(4, 3),
            "deeper": nn.Sequential(nn.ReLU(), nn.Linear(3, 1)),
        }
    )
    assert [name for name, _ in matrices(model)] == ["torch", "supernet", "deeper.1"]
    assert all(model.get_submodule(name) is layer for name, layer in matrices(model))


@pytest.mark.parametrize("name", ["0", "1.0", "1.1.0"])
def test_replacing_changes_that_place_only(name: str) -> None:
    """The module stands there afterwards, at any depth; all others are those that were there."""
    model = nn.Sequential(nn.Tanh(), nn.Sequential(nn.Tanh(), nn.Sequential(nn.Tanh())))
    before, new = dict(model.named_modules()), nn.ReLU()
    replace(model, name, new)
    assert dict(model.named_modules()) == {**before, name: new}


@pytest.mark.parametrize("leading", [(5,), (5, 3)], ids=["dense", "sparse"])
@pytest.mark.parametrize("widths", [(4,), (3, 1, 2)], ids=str)
def test_joined_is_what_the_supernets_layer_multiplies(leading: tuple[int, ...], widths: tuple[int, ...]) -> None:
    """The layer's result on the list is its weight times the joined tensor; a tensor is itself."""
    parts: list[Tensor] = [torch.randn(*leading, width, dtype=torch.float64) for width in widths]
    layer = Linear(sum(widths), 2, False, None).double()
    torch.testing.assert_close(joined(parts) @ layer.weight.T, layer(parts), rtol=1e-12, atol=1e-12)
    assert joined(parts[0]) is parts[0]
