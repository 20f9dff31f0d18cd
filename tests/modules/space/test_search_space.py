"""The spaces: what lies in them and how many there are."""

import dataclasses
import itertools

import numpy
import pytest

from modules.operators import (
    NO_STEM,
    Cross,
    DenseToSparse,
    DotProduct,
    EmbeddedFullyConnected,
    FieldDotProduct,
    FullyConnected,
    Head,
    InputShape,
    SparseToDense,
    Stem,
    Sum,
)
from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    OPEN,
    Architecture,
    Block,
    SearchSpace,
    full_path,
    single_operator_any_connection,
)
from modules.space.handmade import handmade
from modules.space.search_space import summable


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
@pytest.mark.slow
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


def test_size_counts_depths_stems_heads_and_options():
    """Against a brute-force number of the architectures of a tiny open space."""
    space = SearchSpace(
        "tiny_open",
        (FullyConnected(),),
        (Cross(),),
        dense_to_sparse=None,
        sparse_to_dense=None,
        dense_widths=(1, 2),
        sparse_widths=(1,),
        num_blocks=2,
        fewest_blocks=1,
        stems=(NO_STEM, Stem((), 1)),
        free_head=True,
    )

    def subsets(number):
        return [s for k in range(1, number + 1) for s in itertools.combinations(range(number), k)]

    def blocks(number):
        crosses = itertools.product(*Cross.options.values())
        for rank, layers in crosses:
            for width, dense, sparse in itertools.product((1, 2), subsets(number), subsets(number)):
                for left, right in itertools.product(range(number), repeat=2):
                    cross = (Cross(rank, layers),)
                    yield Block((FullyConnected(),), cross, width, 1, dense, sparse, left, right, None, None)

    def heads(depth):
        outputs = [(side, k) for side in range(2) for k in range(depth + 1)]
        for size in range(1, len(outputs) + 1):
            for chosen in itertools.combinations(outputs, size):
                yield Head(*(tuple(k for own, k in chosen if own == side) for side in range(2)))

    first, second = list(blocks(1)), list(blocks(2))
    for depth, count in ((1, len(first)), (2, len(first) * len(second))):
        some = (first[-1],) if depth == 1 else (first[0], second[-1])
        for stem, head in itertools.product(space.stems, heads(depth)):
            space.check(Architecture(some, stem, head))
        shallower = dataclasses.replace(space, num_blocks=depth, fewest_blocks=depth)
        assert shallower.size() == count * 2 * len(list(heads(depth)))
    shallow, deep = (dataclasses.replace(space, num_blocks=n, fewest_blocks=n).size() for n in (1, 2))
    assert space.size() == shallow + deep


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stem": Stem((3,), 1)}, "stem: .* is not in open; it has"),
        ({"blocks": 8}, "blocks: 8; open has 1 to 7"),
        ({"operator": FieldDotProduct(9)}, "block 1, dense_operators: .*is not in open; its options are"),
        ({"operator": FullyConnected()}, "block 1, dense_operators: 'fc' is not in open"),
    ],
)
def test_what_is_outside_the_open_space_is_named(values, message):
    """Stem, depth, an option that is no choice, an operator of the same name that is another."""
    architecture = handmade("dlrm", InputShape(3, 4, 8))
    if "stem" in values:
        architecture = dataclasses.replace(architecture, **values)
    elif "blocks" in values:
        architecture = Architecture(architecture.blocks[:1] * 8)
    else:
        architecture = Architecture(
            (dataclasses.replace(architecture.blocks[0], dense_operators=(values["operator"],)),)
        )
    with pytest.raises(ValueError, match=message):
        OPEN.check(architecture)


def test_nasrecs_spaces_have_no_stem_and_no_head_of_their_own():
    """Said explicitly, the head that they have is accepted."""
    architecture = draw()
    NASREC_FULL.check(dataclasses.replace(architecture, head=Head((7,), (7,))))
    with pytest.raises(ValueError, match=r"head: .*in nasrec_full it reads both outputs of the last block"):
        NASREC_FULL.check(dataclasses.replace(architecture, head=Head((7,), ())))
    with pytest.raises(ValueError, match=r"stem: .*is not in nasrec_full"):
        NASREC_FULL.check(dataclasses.replace(architecture, stem=Stem((), 1)))


def test_what_can_be_summed():
    """Operators whose output is as wide as their block says."""
    names = {operator.name for operator in summable(OPEN.dense_operators + OPEN.sparse_operators)}
    assert {"fc", "sum", "efc", "field_product"} <= names
    assert names.isdisjoint({"cross", "bilinear_fusion", "factorization_machine", "pair_products"})


@pytest.mark.parametrize(
    "values",
    [
        {"num_blocks": 0},
        {"fewest_blocks": 8},
        {"fewest_blocks": 0},
        {"stems": ()},
        {"stems": (NO_STEM, NO_STEM)},
        {"sparse_operators": (Cross(16),)},
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
