"""Ranges of the activations that enter each matrix, measured once and used for every choice of bits.

For each number of bits the clipping range is the percentile of |x| whose quantization error is smallest on the
calibration rows; fewer bits clip more. B batch, I integers, F fields, D embedding width.
"""

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pim_codesign.checks import finite, number, whole
from pim_codesign.functional.matrices import joined, matrices
from pim_codesign.mapping.mapping import ACTIVATION_BITS

PERCENTILES = (99.0, 99.5, 99.9, 99.99, 100.0)
"""Candidates for the clipping range: % of the magnitudes that are not clipped."""
MAX_SAMPLES = 1 << 16
"""Numbers kept of each matrix's inputs, evenly spaced over the calibration rows, beside the largest."""


@dataclass(frozen=True)
class Calibration:
    """Clipping ranges by matrix and activation bits."""

    ranges: dict[str, dict[int, float]]
    """Matrix path -> activation bits -> the magnitude that the largest integer represents."""

    def __post_init__(self) -> None:
        for matrix, found in self.ranges.items():
            for bits, largest in found.items():
                whole(f"activation bits of {matrix!r}", bits, 2, 16)
                number(f"the range of {matrix!r} at {bits} bits", largest, above=0)

    def range(self, matrix: str, bits: int) -> float:
        """The clipping range of a matrix's inputs at `bits`. Raises ValueError where it was not calibrated."""
        if matrix not in self.ranges or bits not in self.ranges[matrix]:
            raise ValueError(
                f"no calibration of {matrix!r} at {bits} activation bits: it holds {sorted(self.ranges)[:3]} … at "
                f"{sorted({width for found in self.ranges.values() for width in found})} bits"
            )
        return self.ranges[matrix][bits]


@torch.no_grad()
def calibrate(
    model: nn.Module, dense: Tensor, sparse: Tensor, activation_bits: Iterable[int] = ACTIVATION_BITS
) -> Calibration:
    """Run rows (dense [B, I], sparse [B, F, D]) through the model and choose each matrix's clipping ranges.

    Raises ValueError for no rows, for numbers that are not finite, in the inputs or before a matrix, which is named,
    and for bits that are not 2 to 16.
    """
    widths = _checked(dense, sparse, activation_bits)
    watched = copy.deepcopy(model)
    samples: dict[str, Tensor] = {}
    for name, matrix in matrices(watched):

        def keep(module: nn.Module, inputs: tuple[Any, ...], name: str = name) -> None:
            x = joined(inputs[0])
            finite(f"the activations before the matrix {name!r}", x)
            magnitudes = x.detach().abs().flatten()
            step = math.ceil(magnitudes.numel() / MAX_SAMPLES)
            samples[name] = torch.cat([magnitudes[::step], magnitudes.max().view(1)]).sort().values

        matrix.register_forward_pre_hook(keep)
    watched(dense, sparse)
    return Calibration({name: {bits: _best_range(found, bits) for bits in widths} for name, found in samples.items()})


def _checked(dense: Tensor, sparse: Tensor, activation_bits: Iterable[int]) -> tuple[int, ...]:
    if len(dense) == 0 or len(dense) != len(sparse):
        raise ValueError(
            f"the calibration has {len(dense)} dense and {len(sparse)} sparse rows; give at least one, as many of both"
        )
    finite("the calibration's dense inputs", dense)
    finite("the calibration's sparse inputs", sparse)
    widths = tuple(activation_bits)
    for bits in widths:
        whole("activation_bits", bits, 2, 16)
    if not widths:
        raise ValueError("activation_bits is empty; name the numbers of bits to calibrate, for example (4, 6, 8)")
    return widths


def _best_range(magnitudes: Tensor, bits: int) -> float:
    """Of the percentiles of sorted magnitudes, the one with the smallest squared error at `bits`."""
    levels = 2 ** (bits - 1) - 1
    best, best_error = 1.0, math.inf
    for percentile in PERCENTILES:
        largest = magnitudes[math.ceil(percentile / 100 * len(magnitudes)) - 1].item()
        if largest == 0:
            continue
        step = largest / levels
        error = ((magnitudes / step).round().clamp(max=levels) * step - magnitudes).square().mean().item()
        if error < best_error:
            best, best_error = largest, error
    return best
