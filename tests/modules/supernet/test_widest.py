"""The layers of a supernet: large enough for every network of its space, and no larger than the widest."""

import dataclasses
import itertools

import numpy
import pytest
import torch

from modules.operators import Head, PairProducts, Stem
from modules.operators.pair_products import MOST_FIELDS
from modules.space import NASREC_FULL, OPEN, Architecture, InputShape, single_operator_any_connection
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


@pytest.mark.parametrize("fields", [MOST_FIELDS, MOST_FIELDS + 1])
def test_pair_products_of_few_and_of_many_fields_are_slices(fields):
    """Up to a number of fields the pairs are of raw vectors, above it of projected ones; both are extracted exactly."""
    space = dataclasses.replace(OPEN, num_blocks=1, stems=(Stem(), Stem((), 1, "none"), Stem((), 4)))
    shape = InputShape(3, fields, 4)
    supernet = Supernet(space, shape, torch.Generator().manual_seed(0)).double().eval()
    dense, sparse = torch.rand(4, 3, dtype=torch.float64), torch.rand(4, fields, 4, dtype=torch.float64)
    (block,) = handmade("logistic_regression", shape).blocks
    for stem, norm in itertools.product(space.stems, (False, True)):
        pairs = dataclasses.replace(block, dense_operators=(PairProducts(norm=norm),))
        architecture = Architecture((pairs,), stem, Head((1,), ()))
        own = extract(supernet, architecture).eval()
        assert any("project" in name for name, _ in own.named_parameters()) == (fields > MOST_FIELDS)
        assert torch.allclose(supernet(dense, sparse, architecture), own(dense, sparse), rtol=1e-12, atol=1e-12)


def test_nasrecs_layers_have_their_names():
    """One set of parameters for each operator of each block, mergers and head, in the order of the blocks."""
    small = dataclasses.replace(NASREC_FULL, num_blocks=2, dense_widths=(2, 4), sparse_widths=(2, 3))
    names = [name for name, _ in Supernet(small, SHAPE).widest.named_children()]
    assert names == ["blocks", "head"]
