"""The layers of a supernet: large enough for every network of its space, and no larger than the widest."""

import dataclasses

import numpy
import pytest
import torch

from modules.operators import Stem
from modules.space import NASREC_FULL, OPEN, InputShape, single_operator_any_connection
from modules.space.handmade import HANDMADE, handmade
from modules.supernet import Supernet, extract

SHAPE = InputShape(3, 4, 8)


def rows():
    """Dense [B, I] and sparse [B, F, D]."""
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn(4, SHAPE.integers, generator=generator, dtype=torch.float64)
    return dense, torch.randn(4, SHAPE.fields, SHAPE.embedding_width, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def supernet():
    """Of the whole open space."""
    return Supernet(OPEN, SHAPE, torch.Generator().manual_seed(0)).double().eval()


@pytest.mark.parametrize("name", HANDMADE)
def test_hand_made_models_are_slices(supernet, name):
    """Each is a path of the supernet of the space, and extracted it computes the same."""
    architecture = handmade(name, SHAPE)
    own = extract(supernet, architecture).eval()
    assert torch.allclose(supernet(*rows(), architecture), own(*rows()), rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_any_combination_of_options_is_a_slice(supernet):
    """Operators with all options drawn independently of one another: no slice reaches beyond its parameter."""
    draws = numpy.random.default_rng(0)
    for _ in range(300):
        architecture = single_operator_any_connection(OPEN, draws)
        blocks = list(architecture.blocks)
        for place, block in enumerate(blocks):
            operators = tuple(
                own.with_options(
                    {name: values[int(draws.integers(len(values)))] for name, values in own.options.items()}
                )
                for own in (*block.dense_operators, *block.sparse_operators)
            )
            blocks[place] = dataclasses.replace(block, dense_operators=operators[:1], sparse_operators=operators[1:])
        supernet.path(dataclasses.replace(architecture, blocks=tuple(blocks)))


def test_no_parameter_has_room_that_nothing_uses():
    """A space of one block of small widths: the slices of many networks together reach every parameter's corner."""
    space = dataclasses.replace(
        OPEN, num_blocks=1, dense_widths=(2, 4), sparse_widths=(2, 3), stems=(Stem(), Stem((3,), 2))
    )
    small, draws = Supernet(space, SHAPE), numpy.random.default_rng(0)
    reached = {name: [0] * parameter.dim() for name, parameter in small.parameters_by_name().items()}
    for _ in range(1000):
        architecture = single_operator_any_connection(space, draws)
        for part in small.path(architecture).slices:
            reached[part.name] = [max(most, own.stop) for most, own in zip(reached[part.name], part.index, strict=True)]
    assert reached == {name: list(parameter.shape) for name, parameter in small.parameters_by_name().items()}


def test_nasrecs_layers_have_their_names():
    """One set of parameters for each operator of each block, mergers and head, in the order of the blocks."""
    small = dataclasses.replace(NASREC_FULL, num_blocks=2, dense_widths=(2, 4), sparse_widths=(2, 3))
    names = [name for name, _ in Supernet(small, SHAPE).widest.named_children()]
    assert names == ["blocks", "head"]
