"""Clipping ranges of activations against every candidate tried."""

import numpy
import pytest
import torch
from torch import Tensor, nn

from pim_codesign import Calibration, calibrate
from pim_codesign.functional.calibration import PERCENTILES


class OneLayer(nn.Module):
    """A model with one matrix, which reads the integers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(13, 1)

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """[B, 13], ignored -> [B]"""
        return self.layer(dense).squeeze(1)


def ranges(dense: Tensor, widths: tuple[int, ...] = (4, 6, 8)) -> Calibration:
    """Calibration of the one layer on these integers."""
    return calibrate(OneLayer(), dense, torch.zeros(len(dense), 1, 1), widths)


@pytest.mark.parametrize("power", [1, 2, 3, 5])
def test_no_candidate_has_a_smaller_error(power: int) -> None:
    """The range is one of the percentiles of |x|, and quantizing with any other has no smaller squared error."""
    dense = torch.randn(1000, 13, generator=torch.Generator().manual_seed(power)) ** power
    calibration, x = ranges(dense), numpy.abs(dense.numpy().astype(numpy.float64)).ravel()
    x = numpy.append(x, x.max())  # the largest is kept besides the samples
    for bits in (4, 6, 8):
        levels, errors = 2 ** (bits - 1) - 1, {}
        for largest in numpy.quantile(x, numpy.array(PERCENTILES) / 100, method="inverted_cdf"):
            step = largest / levels
            errors[largest] = ((numpy.minimum(numpy.rint(x / step), levels) * step - x) ** 2).mean()
        nearest = min(errors, key=lambda largest: abs(largest - calibration.range("layer", bits)))
        assert calibration.range("layer", bits) == pytest.approx(nearest, rel=1e-6)
        assert errors[nearest] <= min(errors.values()) * (1 + 1e-5)


def test_ranges_shrink_with_bits_on_heavy_tails() -> None:
    """Few bits clip more: with outliers the range at 4 bits is below that at 8 bits, never above the maximum."""
    dense = torch.randn(4096, 13, generator=torch.Generator().manual_seed(0)) ** 3
    calibration = ranges(dense)
    assert calibration.range("layer", 4) < calibration.range("layer", 8) <= dense.abs().max().item()


def test_zeros_have_a_range() -> None:
    """An input that is always 0 gets a positive range, so that its step is no division by zero."""
    assert ranges(torch.zeros(50, 13)).range("layer", 8) > 0


def test_what_was_not_calibrated_is_named() -> None:
    """A matrix or a number of bits without a range is a ValueError that says which there are."""
    calibration = ranges(torch.ones(5, 13), widths=(8,))
    with pytest.raises(ValueError, match=r"'layer' at 4 activation bits.*\[8\]"):
        calibration.range("layer", 4)
    with pytest.raises(ValueError, match="no calibration of 'ghost'"):
        calibration.range("ghost", 8)
