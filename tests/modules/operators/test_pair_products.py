"""Pair products of raw and of projected vectors: formula, counts, widths."""

import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, mm_flop

from modules.operators import PairProducts, StemShape
from modules.operators.pair_products import MOST_FIELDS
from modules.operators.pairs import inner_products
from tests.modules.operators.plain import B, D, close, plain

OUTPUTS = {"dense": (3, 2), "sparse": (4, 6), "sparse_inputs": (0, 1)}


def own_pairs(left, right, **_):
    """Of the full square that torch computes only the pairs are counted."""
    return 2 * left[0] * left[2] * (left[1] * (left[1] - 1) // 2)


COUNTED = {torch.ops.aten.addmm_: lambda _, a, b, **__: mm_flop(a, b), torch.ops.aten.bmm: own_pairs}


@pytest.mark.parametrize(("fields", "norm"), itertools.product((0, 8), (True, False)))
def test_formula(fields, norm):
    """Every pair once, normed or as it is: of the stem's own vectors, or of the joined sparse inputs projected."""
    own = plain(PairProducts(fields, norm), **OUTPUTS)
    vectors = own.linear("project_fields", torch.cat(own.sparse, 2)) if fields else own.sparse[0]
    count = vectors.shape[2]
    x = torch.stack([(vectors[:, :, i] * vectors[:, :, j]).sum(1) for i in range(count) for j in range(i)], 1)
    made = own.network(own.dense, own.sparse)
    close(made, own.normed("norm_projected" if fields else "norm", x) if norm else x)
    close(torch.jit.script(own.network)(own.dense, own.sparse), made)
    assert made.shape[1] == own.operator.width(own.block, own.inputs.shape)


@pytest.mark.parametrize("fields", PairProducts.options["fields"])
def test_counts_are_those_torch_runs(fields):
    """The projection, and each pair once; parameters and names of layers are the built ones'."""
    own = plain(PairProducts(fields, norm=True), **OUTPUTS)
    with FlopCounterMode(display=False, custom_mapping=COUNTED) as counter:
        own.network(own.dense, own.sparse)
    count = fields or 4
    assert counter.get_total_flops() == 2 * B * own.multiply_accumulates
    assert own.multiply_accumulates == (4 + 6) * fields * D + count * (count - 1) // 2 * D
    assert sum(step.parameters() for step in own.steps) == sum(p.numel() for p in own.network.parameters())
    built = {name.rpartition(".")[0] for name, _ in own.network.named_parameters()}
    assert built == own.layers.keys() == ({"project_fields", "norm_projected"} if fields else {"norm"})


@pytest.mark.parametrize("shape", [StemShape(3, 4, D), StemShape(3, 4, D, 2), StemShape(3, 1, D)])
def test_width_is_its_own(shape):
    """One number a pair of the stem's vectors, or of the projected ones, whatever the block's width."""
    block = plain(PairProducts(), **OUTPUTS).block
    raw = len(list(itertools.combinations(range(shape.fields + shape.stem_vectors), 2)))
    assert PairProducts().width(block, shape) == max(1, raw)
    assert [PairProducts(k).width(block, shape) for k in (8, 16, 32)] == [28, 120, 496]


def test_a_single_vector_is_multiplied_with_itself():
    """One field without stem vectors: one number, and its gradient reaches the vector."""
    own = plain(PairProducts(), **{**OUTPUTS, "sparse": (1, 6)})
    made = own.network(own.dense, own.sparse)
    close(made, own.sparse[0].square().sum(1))
    close(torch.jit.script(own.network)(own.dense, own.sparse), made)
    assert own.multiply_accumulates == D


def test_vectors_of_many_fields_are_projected():
    """All vectors of the stem and nothing else, to the most fields; up to that number they are as they are."""
    many = {**OUTPUTS, "dense": (D, 2), "sparse": (MOST_FIELDS + 2, 6)}
    own = plain(PairProducts(norm=True), **many, stem_vectors=1)
    vectors = own.linear("project_fields", own.sparse[0])
    close(own.network(own.dense, own.sparse), own.normed("norm_projected", inner_products(vectors)))
    assert vectors.shape[2] == MOST_FIELDS
    assert own.operator.width(own.block, own.inputs.shape) == MOST_FIELDS * (MOST_FIELDS - 1) // 2
    assert not plain(PairProducts(), **many, stem_vectors=2).layers


@pytest.mark.parametrize("fields", [-1, 1])
def test_a_number_of_vectors_without_pairs_is_refused(fields):
    """The message names the option."""
    with pytest.raises(ValueError, match="pair_products, fields"):
        PairProducts(fields)
