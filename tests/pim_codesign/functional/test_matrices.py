"""Static matrices of models: all are found, and others can be put in their places."""

import pytest
import torch
from torch import Tensor, nn

from modules.operators import InputShape, Linear
from modules.space.handmade import HANDMADE, handmade
from modules.supernet import Subnet
from pim_codesign.functional.matrices import joined, matrices, replace


@pytest.mark.parametrize("name", HANDMADE)
def test_a_network_hides_no_matrix(name: str) -> None:
    """Every parameter with two dimensions is the weight of a layer that is found, at its own path."""
    shape = InputShape(2, 3, 4)
    network = Subnet(handmade(name, shape), shape, torch.Generator().manual_seed(0))
    weights = {path: weight for path, weight in network.named_parameters() if weight.dim() > 1}
    found = {f"{path}.weight": layer.weight for path, layer in matrices(network)}
    assert found.keys() == weights.keys()
    assert all(found[path] is weights[path] for path in found)


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
