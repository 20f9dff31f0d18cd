"""An operator on random layers and inputs in float64, to be held against its formula written plainly; B = 3, D = 8."""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from modules.operators import Inputs, Layer, Linear, Norm, Operator, Slot, StemShape, Step, build, check_steps
from modules.space import Block

B, D = 3, 8


@dataclass
class Plain:
    """A built operator, its layers by name, and what it reads."""

    operator: Operator
    block: Block
    inputs: Inputs
    layers: dict[str, Layer]
    network: nn.Module
    dense: list[Tensor]
    sparse: list[Tensor]

    @property
    def steps(self) -> tuple[Step, ...]:
        """The operator's description."""
        return self.operator.steps(self.block, self.inputs)

    @property
    def multiply_accumulates(self) -> int:
        """By the description."""
        return sum(step.multiply_accumulates for step in self.steps)

    def linear(self, name: str, x: Tensor) -> Tensor:
        """x Wᵀ (+ b) of a layer, written out."""
        layer = self.layers[name]
        return x @ layer.weight.T + (0 if layer.bias is None else layer.bias)

    def normed(self, name: str, x: Tensor) -> Tensor:
        """The definition of a layer norm, with torch's ε."""
        layer = self.layers[name]
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias


def plain(
    operator: Operator, dense: tuple[int, ...], sparse: tuple[int, ...], own=(0, 0), stem_vectors=0, **choices
) -> Plain:
    """The operator behind outputs of these widths (the stem's first), with random layers.

    With stem vectors the last of sparse output 0 are those; dense output 0 then has D numbers for each of them.
    """
    generator = torch.Generator().manual_seed(0)
    defaults = {
        "dense_operators": (), "sparse_operators": (), "dense_width": 5, "sparse_width": 4, "dense_inputs": (0,),
        "sparse_inputs": (0,), "left": 0, "right": 0, "dense_to_sparse": None, "sparse_to_dense": None,
    }  # fmt: skip
    block = Block(**{**defaults, **choices})
    slots = ([Slot(start, width, (0, width)) for start, width in _starts(widths)] for widths in (dense, sparse))
    shape = StemShape(dense[0], sparse[0] - stem_vectors, D, stem_vectors)
    inputs = Inputs(shape, *map(tuple, slots), *own)
    steps = operator.steps(block, inputs)
    check_steps(operator.name, steps, operator.reads(block))
    layers: dict[str, Layer] = {}
    for step in steps:
        if step.matrix:
            layers[step.name] = Linear(step.matrix.inputs, step.matrix.outputs, step.matrix.bias, generator).double()
        if step.norm:
            layers[step.norm.name] = Norm(step.norm.width).double()
    by_name = {name.replace(".", "_") or "self": layer for name, layer in layers.items()}
    for name, parameter in nn.ModuleDict(by_name).named_parameters():
        if not name.endswith("weight") or parameter.dim() == 1:
            nn.init.normal_(parameter, generator=generator)
    network = build(operator.name, operator, block, inputs, layers)
    random = [torch.randn(B, width, generator=generator, dtype=torch.float64) for width in dense]
    fields = [torch.randn(B, D, width, generator=generator, dtype=torch.float64) for width in sparse]
    return Plain(operator, block, inputs, layers, network, random, fields)


def _starts(widths: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(zip(itertools.accumulate(widths, initial=0), widths, strict=False))


def close(ours: Tensor, formula: Tensor) -> None:
    """Equal to rounding, with the same shape."""
    assert ours.shape == formula.shape
    assert torch.allclose(ours, formula, rtol=1e-12, atol=1e-12)
