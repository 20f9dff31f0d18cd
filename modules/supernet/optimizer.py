"""Adagrad that walks only the slices a step touched: exactly the dense optimizer's result.

Adagrad with a zero gradient changes neither weight nor state (no weight decay), so leaving untouched slices out is
exact, not approximate.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from modules.supernet.supernet import Slice


class SlicedAdagrad:
    """Adagrad (Duchi et al. 2011) over slices: s += g², w −= η g / (√s + ε), as in torch.optim.Adagrad.

    `initial_square` is where the accumulators start (torch: initial_accumulator_value): above 0 it tames the first
    steps, which are ± η in every weight otherwise. One accumulator a parameter, as large as the parameter; a step
    costs what its slices hold.
    """

    def __init__(self, parameters: Mapping[str, Tensor], epsilon: float = 1e-10, initial_square: float = 0.0) -> None:
        self.epsilon = epsilon
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
            part.leaf.data.addcdiv_(gradient, squares.sqrt().add_(self.epsilon), value=-learning_rate)
            part.leaf.grad = None

    def state_dict(self) -> dict[str, Tensor]:
        """The accumulators by parameter name (the tensors themselves, not copies)."""
        return dict(self.squares)

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy accumulators in. Raises ValueError when names or shapes differ."""
        if state.keys() != self.squares.keys():
            raise ValueError(
                f"optimizer state is of other parameters: {sorted(state.keys() ^ self.squares.keys())[:5]}"
            )
        for name, squares in self.squares.items():
            squares.copy_(state[name])
