"""Optimizers that walk only the slices that a step touched.

What happens to weights that a step does not touch:

- SGD and Adagrad: nothing, which is exactly what the dense optimizer does with a zero gradient (there is no weight
  decay and no momentum). The result is the dense optimizer's.
- Adam: nothing either, and here that is a rule of our own: dense Adam would go on moving them by their old momentum.
  Every weight has torch.optim.Adam of its own, whose steps are those that touched it: its moments rest in between,
  and its bias correction counts its own steps. Where several paths share a step, the rectangle around slices that
  overlap may hold weights of no path: those rest as well (`Slice.parts`).
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from modules.supernet.supernet import Slice


class SlicedOptimizer(Protocol):
    """What a training loop needs of an optimizer."""

    def step(self, slices: Sequence[Slice], learning_rate: float) -> None:
        """Update every slice that has a gradient, then drop the gradients."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """The state by name (the tensors themselves, not copies)."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy a state in. Raises ValueError when names differ."""
        ...


def rate_of(part: Slice, learning_rate: float, reference_inputs: int) -> float:
    """A slice's learning rate: a layer with more than `reference_inputs` inputs (columns) has so much less of it.

    All slices of a layer have the rate of the whole layer, which is what the layer's standalone matrix has.

    A step moves every weight by about η under Adagrad and Adam, whatever the gradient, and so an output by η times the
    number of inputs; with this rule one rate fits narrow and wide layers (μP's for Adam, arXiv:2203.03466, table 8).

    >>> wide = Slice("w", (), torch.zeros(3, 256))
    >>> part = Slice("w", (), torch.zeros(3, 4), inputs=128)
    >>> rate_of(wide, 0.08, 64), rate_of(wide, 0.08, 0), rate_of(part, 0.08, 64)
    (0.02, 0.08, 0.04)
    """
    inputs = (part.inputs or part.leaf.shape[-1]) if part.leaf.dim() > 1 else 0
    if not reference_inputs or inputs <= reference_inputs:
        return learning_rate
    return learning_rate * reference_inputs / inputs


class SlicedSGD:
    """w −= η g. `reference_inputs`: see `rate_of`, for all three."""

    def __init__(self, reference_inputs: int = 0) -> None:
        self.reference_inputs = reference_inputs

    @torch.no_grad()
    def step(self, slices: Sequence[Slice], learning_rate: float) -> None:
        """Update every slice that has a gradient, then drop the gradients."""
        for part in slices:
            if part.leaf.grad is not None:
                rate = rate_of(part, learning_rate, self.reference_inputs)
                part.leaf.data.add_(part.leaf.grad, alpha=-rate)
                part.leaf.grad = None

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing: SGD without momentum has no state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Raises ValueError when the state is another optimizer's."""
        _copy_state(state, {})


class SlicedAdagrad:
    """Adagrad (Duchi et al. 2011) over slices: s += g², w −= η g / (√s + ε), as in torch.optim.Adagrad.

    `initial_square` is where the accumulators start (torch: initial_accumulator_value): above 0 it tames the first
    steps, which are ± η in every weight otherwise. One accumulator a parameter, as large as the parameter; a step
    costs what its slices hold.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        epsilon: float = 1e-10,
        initial_square: float = 0.0,
        reference_inputs: int = 0,
    ) -> None:
        self.epsilon, self.reference_inputs = epsilon, reference_inputs
        self.squares = {name: torch.full_like(parameter, initial_square) for name, parameter in parameters.items()}

    @torch.no_grad()
    def step(self, slices: Sequence[Slice], learning_rate: float) -> None:
        """Update every slice that has a gradient, then drop the gradients."""
        for part in slices:
            gradient = part.leaf.grad
            if gradient is None:
                continue
            squares = self.squares[part.name][part.index]
            squares.addcmul_(gradient, gradient)
            rate = rate_of(part, learning_rate, self.reference_inputs)
            part.leaf.data.addcdiv_(gradient, squares.sqrt().add_(self.epsilon), value=-rate)
            part.leaf.grad = None

    def state_dict(self) -> dict[str, Tensor]:
        """The accumulators by parameter name (the tensors themselves, not copies)."""
        return dict(self.squares)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy accumulators in. Raises ValueError when names differ."""
        _copy_state(state, self.squares)


class SlicedAdam:
    """Adam (Kingma and Ba 2015) over slices, weight by weight as in torch.optim.Adam on the steps that touched it."""

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        epsilon: float = 1e-8,
        betas: tuple[float, float] = (0.9, 0.999),
        reference_inputs: int = 0,
    ) -> None:
        self.epsilon, self.betas, self.reference_inputs = epsilon, betas, reference_inputs
        self.state = {
            f"{name}.{kind}": torch.zeros_like(parameter)
            for name, parameter in parameters.items()
            for kind in ("steps", "mean", "square")
        }

    @torch.no_grad()
    def step(self, slices: Sequence[Slice], learning_rate: float) -> None:
        """Update every slice that has a gradient, then drop the gradients."""
        first, second = self.betas
        for part in slices:
            gradient = part.leaf.grad
            if gradient is None:
                continue
            kinds = ("steps", "mean", "square")
            views = [part.leaf.data, *(self.state[f"{part.name}.{kind}"][part.index] for kind in kinds)]
            held = part.held()
            weight, steps, mean, square = views if held is None else [view.clone() for view in views]
            steps += 1
            mean.lerp_(gradient, 1 - first)
            square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
            deviation = (square / (1 - second**steps)).sqrt_().add_(self.epsilon)
            rate = rate_of(part, learning_rate, self.reference_inputs)
            weight.addcdiv_(mean / (1 - first**steps), deviation, value=-rate)
            if held is not None:
                for view, moved in zip(views, (weight, steps, mean, square), strict=True):
                    view.copy_(torch.where(held, moved, view))
            part.leaf.grad = None

    def state_dict(self) -> dict[str, Tensor]:
        """Steps and moments by parameter name (the tensors themselves, not copies)."""
        return dict(self.state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy steps and moments in. Raises ValueError when names differ."""
        _copy_state(state, self.state)


@torch.no_grad()
def _copy_state(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    if source.keys() != target.keys():
        raise ValueError(f"optimizer state is of other parameters: {sorted(source.keys() ^ target.keys())[:5]}")
    for name, tensor in target.items():
        tensor.copy_(source[name])
