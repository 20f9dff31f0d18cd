"""Counts of the baselines against torch's own counter and against hand counts."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from modules.baselines import (
    BASELINES,
    DCNConfig,
    DCNInteraction,
    DeepFMConfig,
    DeepFMInteraction,
    DLRMConfig,
    DLRMInteraction,
    multiply_accumulates,
    parameter_count,
)
from modules.space import InputShape

SHAPES = [InputShape(13, 26, 16), InputShape(1, 3, 4), InputShape(5, 1, 6)]


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("shape", SHAPES)
def test_matrix_products_are_those_torch_counts(name: str, shape: InputShape) -> None:
    """Less its computed products the count is half of torch's FLOPs, where torch counts DLRM's whole square."""
    model = BASELINES[name].build(shape, torch.Generator().manual_seed(0))
    batch = 8
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(batch, shape.integers), torch.randn(batch, shape.fields, shape.embedding_width))
    square = (shape.fields + 1) ** 2 * shape.embedding_width if name == "dlrm" else 0
    counted = multiply_accumulates(model) - model.interaction_products + square
    assert counter.get_total_flops() == 2 * batch * counted


def test_hand_counts() -> None:
    """Small models counted on paper: I = 2, F = 3, D = 4, so N = 16."""
    shape = InputShape(2, 3, 4)
    dlrm = DLRMInteraction(shape, DLRMConfig((5,), (7,)))
    over_inputs = 4 + 6  # the dense vector and the pairs of 4 vectors
    assert multiply_accumulates(dlrm) == (2 * 5 + 5 * 4) + 6 * 4 + (over_inputs * 7 + 7)
    assert parameter_count(dlrm) == (2 * 5 + 5 + 5 * 4 + 4) + (over_inputs * 7 + 7 + 7 + 1)
    dcn = DCNInteraction(shape, DCNConfig((5,), (7,), cross_layers=2, cross_rank=3))
    assert multiply_accumulates(dcn) == (2 * 5 + 5 * 4) + 2 * (2 * 16 * 3 + 16) + (16 * 7 + 7)
    assert parameter_count(dcn) == (2 * 5 + 5 + 5 * 4 + 4) + 2 * (2 * 16 * 3 + 16) + (16 * 7 + 7 + 7 + 1)
    matrices = (2 * 5 + 5 * 4) + (16 * 7 + 7 * 6) + (4 + 6 + 1)
    deepfm = DeepFMInteraction(shape, DeepFMConfig(5, (7, 6), crossing="all_pairs"))
    assert multiply_accumulates(deepfm) == matrices + 16 + 1
    assert parameter_count(deepfm) == (2 * 5 + 5 + 5 * 4 + 4) + (16 * 7 + 7 + 7 * 6 + 6) + (4 + 6 + 1 + 1)
    papers = DeepFMInteraction(shape, DeepFMConfig(5, (7, 6), crossing="same_position"))
    assert multiply_accumulates(papers) == matrices + 16 + 4
    assert parameter_count(papers) == parameter_count(deepfm)
