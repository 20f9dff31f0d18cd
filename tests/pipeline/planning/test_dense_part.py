"""pipeline/planning/dense_part.py: what is counted of a supernet's step is what the step does."""

import dataclasses

import numpy
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.space import NASREC_SMALL, InputShape, multiply_accumulates
from modules.space.sampling import SAMPLERS
from modules.supernet import Supernet
from pipeline.config import SupernetConfig
from pipeline.planning.dense_part import DRAWN_STEPS, DensePart, _kept_bytes, _kept_bytes_a_row, dense_part

SHAPE = InputShape(13, 26, 4)
CONFIG = SupernetConfig()


@pytest.fixture(scope="module")
def found() -> DensePart:
    """Of a step of one path."""
    return dense_part(NASREC_SMALL, SHAPE, CONFIG, 8, seed=0)


def test_weights_and_products(found: DensePart) -> None:
    """Parameters are the supernet's, active weights and products the drawn paths' own."""
    supernet, draws = Supernet(NASREC_SMALL, SHAPE), numpy.random.default_rng(0)
    drawn = [SAMPLERS[CONFIG.sampler](NASREC_SMALL, draws) for _ in range(DRAWN_STEPS)]
    active = [sum(part.leaf.numel() for part in supernet.path(architecture).slices) for architecture in drawn]
    assert found.parameters == sum(parameter.numel() for parameter in supernet.parameters())
    assert (found.active_weights, found.most_active_weights) == (sum(active) / len(active), max(active))
    products = [multiply_accumulates(architecture, SHAPE) for architecture in drawn]
    assert found.multiply_accumulates == pytest.approx(sum(products) / len(products))


def test_activations_grow_with_the_rows(found: DensePart) -> None:
    """What autograd keeps is affine in the rows: its growth between few rows is that between many."""
    network = (
        Supernet(NASREC_SMALL, SHAPE).path(SAMPLERS[CONFIG.sampler](NASREC_SMALL, numpy.random.default_rng(0))).network
    )
    a_row = _kept_bytes_a_row(network, SHAPE)
    assert (_kept_bytes(network, SHAPE, 64) - _kept_bytes(network, SHAPE, 32)) / 32 == a_row > 0
    assert found.kept_bytes_a_row >= a_row and found.activation_bytes(10) == round(10 * found.kept_bytes_a_row)


@pytest.mark.slow
def test_kernels_are_counted(found: DensePart) -> None:
    """As many operators at least as a profiler sees matrix products, and one path's less than three paths'."""
    supernet = Supernet(NASREC_SMALL, SHAPE)
    path = supernet.path(SAMPLERS[CONFIG.sampler](NASREC_SMALL, numpy.random.default_rng(0)))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        embedded = torch.zeros(2, 26, 4, requires_grad=True)
        binary_cross_entropy_with_logits(path.network(torch.zeros(2, 13), embedded), torch.zeros(2)).backward()
    products = sum(event.count for event in profile.key_averages() if event.key in ("aten::mm", "aten::addmm"))
    assert 0 < products < found.launches < 3000
    three = dense_part(NASREC_SMALL, SHAPE, dataclasses.replace(CONFIG, paths_per_step=3), 8, seed=0)
    assert three.launches > 2 * found.launches and three.active_weights > found.active_weights


@pytest.mark.slow
def test_distinct_paths_send_their_union() -> None:
    """Ranks with paths of their own all-reduce what any of them holds, and compute one path each."""
    distinct = dataclasses.replace(CONFIG, distinct_paths=True)
    two, four = (dense_part(NASREC_SMALL, SHAPE, distinct, ranks, seed=0) for ranks in (2, 4))
    assert two.active_weights < four.active_weights < four.parameters
    assert four.multiply_accumulates == pytest.approx(two.multiply_accumulates, rel=0.5)


@pytest.mark.parametrize(("optimizer", "states"), [("adagrad", 1), ("adam", 2), ("sgd", 0)])
def test_optimizer_states(found: DensePart, optimizer: str, states: int) -> None:
    """The dense part's bytes are those of weights, states, and gradients twice."""
    own = dataclasses.replace(found, states_a_weight=states)
    assert own.bytes == 4 * (found.parameters * (1 + states) + 2 * found.most_active_weights)
