"""The pieces of hand-made models: a block's other side is dead, and towers are multilayer perceptrons."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modules.operators import (
    NO_STEM,
    Cross,
    DotProduct,
    FieldProduct,
    Head,
    InputShape,
    Precision,
    SparseToDense,
    Stem,
    Sum,
)
from modules.space import Architecture, Block, live, multiply_accumulates, parameter_count
from modules.space.architecture import BlockPrecision
from modules.space.handmade.blocks import BOTTOM, FLAT, HIDDEN, block, tower
from modules.space.plan import plan
from tests.modules.space.handmade.formula import SHAPE, Published

WIDTHS = st.lists(st.integers(1, 9), min_size=1, max_size=4)


def on_top(widths, first=FLAT, after: int = 0, stem: Stem = NO_STEM) -> Architecture:
    """A tower behind other blocks, and a logit that reads its end."""
    blocks = (*(block() for _ in range(after)), *tower(widths, first, after))
    return Architecture(blocks, stem, Head((len(blocks),), ()))


def dead(architecture: Architecture) -> list[bool]:
    """Of each block, whether nothing of it reaches the logit."""
    return [not alive.operators(own) for own, alive in zip(architecture.blocks, live(architecture), strict=True)]


@settings(max_examples=30)
@given(WIDTHS, st.integers(0, 2), st.sampled_from([FLAT, HIDDEN]))
def test_a_tower_counts_as_torchs_layers_of_these_widths(widths, after, first):
    """Parameters and products are those of linear layers from the stem to the logit; blocks before it are dead."""
    architecture, shape = on_top(widths, first, after), InputShape(3, 4, 6)
    assert [own.dense_width for own in architecture.blocks[after:]] == widths
    assert dead(architecture) == [True] * after + [False] * len(widths)
    sizes = [3 if first == HIDDEN else 4 * 6, *widths, 1]
    layers = [nn.Linear(sizes[n], sizes[n + 1], device="meta") for n in range(len(sizes) - 1)]
    assert parameter_count(architecture, shape) == sum(p.numel() for layer in layers for p in layer.parameters())
    assert multiply_accumulates(architecture, shape) == sum(layer.weight.numel() for layer in layers)


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("first", [FLAT, HIDDEN], ids=["flat", "hidden"])
def test_a_tower_computes_relu_of_linear_layers(first, after):
    """Beside the stem, the logit reads ReLU(W x + b), layer by layer, on the side of the stem that `first` reads."""
    deep = on_top((7, 5), first, after)
    own = Published(dataclasses.replace(deep, head=Head((0, after + 2), (0,))))
    flat = own.fields.flatten(1)
    end = own.mlp(own.integers if first == HIDDEN else flat, (after, after + 1))
    own.check(own.linear("head", torch.cat([own.integers, end, flat], 1))[:, 0])


@pytest.mark.parametrize("first", [FLAT, HIDDEN], ids=["flat", "hidden"])
def test_the_bottom_makes_one_more_vector_that_a_tower_reads(first):
    """The integers' MLP is live, and with it a tower has D inputs more, or D in the place of the integers."""
    plain, stemmed = (on_top((7,), first, stem=stem) for stem in (NO_STEM, BOTTOM))
    inputs, more = (plan(architecture, SHAPE)[-2].steps[0].matrix.inputs for architecture in (plain, stemmed))
    width = SHAPE.embedding_width
    assert more == (width if first == HIDDEN else inputs + width)
    assert [part.path for part in plan(stemmed, SHAPE)] == ["stem", *(part.path for part in plan(plain, SHAPE))]


@pytest.mark.parametrize(
    ("operator", "side"), [(DotProduct(), "dense"), (Sum(), "dense"), (FieldProduct(), "sparse"), (Cross(), "sparse")]
)
def test_what_is_not_given_is_dead(operator, side):
    """Where the logit reads the side of the operator that matters, nothing else of the block is computed."""
    own = block(operator) if side == "dense" else block(sparse=operator)
    head = Head((1,), ()) if side == "dense" else Head((), (1,))
    assert [part.operator for part in plan(Architecture((own,), head=head), SHAPE)] == [operator, head]


def test_choices_are_the_blocks_own():
    """Every field of a block can be given, and those that are not stay as they were; another name is an error."""
    merger = SparseToDense()
    given = {
        "dense_width": 3,
        "sparse_width": 5,
        "dense_inputs": (1,),
        "sparse_inputs": (0, 2),
        "left": 1,
        "right": 2,
        "dense_to_sparse": None,
        "sparse_to_dense": merger,
        "precision": BlockPrecision(dense=Precision(4, 8)),
    }
    assert set(given) | {"dense_operators", "sparse_operators"} == {field.name for field in dataclasses.fields(Block)}
    for name, value in given.items():
        assert block(**{name: value}) == dataclasses.replace(block(), **{name: value})
    with pytest.raises(TypeError, match="depth"):
        block(depth=3)
