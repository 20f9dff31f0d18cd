"""A hand-made model as a network with random weights in float64, to be held against its published formula.

B batch, I integers, F fields, n vectors of the stem, D embedding width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from modules.space import Architecture, InputShape
from modules.supernet import Subnet

B = 5
SHAPE = InputShape(3, 4, 6)


class Published:
    """The network of an architecture, its weights by name, and inputs that take gradients."""

    def __init__(self, architecture: Architecture, shape: InputShape = SHAPE) -> None:
        generator = torch.Generator().manual_seed(0)
        self.network = Subnet(architecture, shape, generator).double()
        self.parameters = dict(self.network.named_parameters())
        for parameter in self.parameters.values():
            nn.init.normal_(parameter, std=0.5, generator=generator)
        sizes = (B, shape.integers), (B, shape.fields, shape.embedding_width)
        self.integers, self.fields = (
            torch.randn(size, generator=generator, dtype=torch.float64).requires_grad_() for size in sizes
        )

    def __getitem__(self, name: str) -> Tensor:
        """A parameter by its name."""
        return self.parameters[name]

    def linear(self, name: str, x: Tensor) -> Tensor:
        """x Wᵀ (+ b), written out."""
        bias = self.parameters.get(f"{name}.bias")
        return x @ self[f"{name}.weight"].T + (0 if bias is None else bias)

    def vectors(self) -> Tensor:
        """The stem's vectors: the fields', then the one that the integers' MLP makes: [B, n, D]."""
        layers = sum(name.startswith("stem.") and name.endswith("weight") for name in self.parameters)
        x = self.integers
        for layer in range(layers - 1):
            x = self.linear(f"stem.layers.hidden_{layer}", x).clamp(min=0)
        x = self.linear(f"stem.layers.vectors_{layers - 1}", x).clamp(min=0)
        return torch.cat([self.fields, x[:, None]], 1)

    def mlp(self, x: Tensor, blocks: Sequence[int]) -> Tensor:
        """Hidden layers with ReLU, the fc of each of these blocks."""
        for block in blocks:
            x = self.linear(f"blocks.{block}.dense.fc.project", x).clamp(min=0)
        return x

    def check(self, logit: Tensor, fixed: slice = slice(0, 0)) -> None:
        """The network's logit is the formula's [B], and so are its gradients, to 1e-12.

        `fixed` columns of the head have values that the formula has as constants: they have no gradient there.
        """
        given = [self.integers, self.fields, *self.parameters.values()]
        output = self.network(self.integers, self.fields)
        assert output.shape == logit.shape == (B,) and logit.std() > 0
        _close(output, logit)
        weight = torch.linspace(1, 2, B, dtype=torch.float64)
        ours = torch.autograd.grad(output @ weight, given, allow_unused=True)
        theirs = torch.autograd.grad(logit @ weight, given, allow_unused=True)
        for name, tensor, found, expected in zip(
            ["integers", "fields", *self.parameters], given, ours, theirs, strict=True
        ):
            found, expected = (torch.zeros_like(tensor) if g is None else g.clone() for g in (found, expected))
            assert found.abs().max() > 0, name
            if name == "head.weight":
                found[:, fixed] = expected[:, fixed] = 0
            _close(found, expected)


def _close(ours: Tensor, formula: Tensor) -> None:
    assert torch.allclose(ours, formula, rtol=1e-12, atol=1e-12 * float(formula.detach().abs().max()))
