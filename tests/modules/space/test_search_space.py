"""The spaces: what lies in them and how many there are."""

import dataclasses
import itertools

import numpy
import pytest

from modules.operators import (
    DenseToSparse,
    DotProduct,
    EmbeddedFullyConnected,
    FullyConnected,
    SparseToDense,
    Sum,
)
from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    Architecture,
    SearchSpace,
    full_path,
    single_operator_any_connection,
)


def draw(space=NASREC_FULL) -> Architecture:
    """A random architecture."""
    return single_operator_any_connection(space, numpy.random.default_rng(0))


def changed(architecture: Architecture, index: int, **values) -> Architecture:
    """The architecture with some fields of one block replaced."""
    blocks = list(architecture.blocks)
    blocks[index] = dataclasses.replace(blocks[index], **values)
    return Architecture(tuple(blocks))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dense_width": 100}, "block 6, dense_width: 100 is outside nasrec_small"),
        ({"sparse_width": 8}, "block 6, sparse_width: 8 is outside"),
        ({"dense_operators": (Sum(),)}, "block 6, dense_operators: 'sum' is not in nasrec_small"),
        ({"dense_operators": (FullyConnected(), DotProduct())}, "block 6, dense_operators.*has one"),
        ({"dense_to_sparse": DenseToSparse(3)}, "block 6, dense_to_sparse: 'dense_to_sparse' is not in nasrec_small"),
        ({"dense_inputs": (0, 1, 2, 3, 4)}, "block 6, dense_inputs: 5 inputs; nasrec_small joins at most 4"),
    ],
)
def test_what_is_outside_is_named(values, message):
    """`check` names block, field, value and options."""
    with pytest.raises(ValueError, match=message):
        NASREC_SMALL.check(changed(draw(NASREC_SMALL), 5, **values))


def test_number_of_blocks():
    """An architecture of another depth is refused."""
    with pytest.raises(ValueError, match="blocks: 6; nasrec_full has 7"):
        NASREC_FULL.check(Architecture(draw().blocks[:6]))


def test_full_path_is_for_training_only():
    """The supernet holds the full path, the search may not propose it."""
    path = full_path(NASREC_FULL, numpy.random.default_rng(0))
    NASREC_FULL.check_path(path)
    with pytest.raises(ValueError):
        NASREC_FULL.check(path)


@pytest.mark.parametrize("merger", [None, SparseToDense()], ids=["one merger", "two mergers"])
def test_size_counts_what_check_accepts(merger):
    """`size` of a tiny space equals the brute-force number of accepted architectures."""
    space = SearchSpace(
        "tiny",
        (FullyConnected(), Sum()),
        (EmbeddedFullyConnected(),),
        sparse_to_dense=merger,
        dense_widths=(1, 2),
        sparse_widths=(1,),
        num_blocks=2,
    )

    def blocks(number):
        subsets = [s for k in range(1, number + 1) for s in itertools.combinations(range(number), k)]
        sources = range(number)
        for operator, width, dense, sparse, left, right, to_sparse, to_dense in itertools.product(
            space.dense_operators,
            space.dense_widths,
            subsets,
            subsets,
            sources,
            sources,
            (None, space.dense_to_sparse),
            {None, space.sparse_to_dense},
        ):
            yield dataclasses.replace(
                space.widest_block(number),
                dense_operators=(operator,),
                sparse_operators=space.sparse_operators,
                dense_width=width,
                sparse_width=1,
                dense_inputs=dense,
                sparse_inputs=sparse,
                left=left,
                right=right,
                dense_to_sparse=to_sparse,
                sparse_to_dense=to_dense,
            )

    count = 0
    for pair in itertools.product(blocks(1), blocks(2)):
        space.check(Architecture(pair))
        count += 1
    assert space.size() == count


@pytest.mark.parametrize(
    "values",
    [
        {"num_blocks": 0},
        {"max_inputs": 0},
        {"dense_widths": (2, 1)},
        {"sparse_widths": ()},
        {"dense_operators": ()},
        {"dense_operators": (Sum(), Sum())},
        {"sparse_operators": (Sum(),)},
        {"sparse_to_dense": DenseToSparse()},
    ],
)
def test_an_impossible_space_is_refused(values):
    """Sizes below one and unordered widths are errors."""
    with pytest.raises(ValueError, match=next(iter(values))):
        dataclasses.replace(NASREC_FULL, **values)


def test_connections_are_the_choices_that_some_operator_follows():
    """Left and right mean nothing where no operator has two operands."""
    assert NASREC_SMALL.connections == ("dense_inputs", "sparse_inputs")
    assert NASREC_FULL.connections == ("dense_inputs", "sparse_inputs", "left", "right")
    binary = dataclasses.replace(NASREC_FULL, dense_operators=(Sum(),))
    assert binary.connections == ("sparse_inputs", "left", "right")
