"""Inner products of raw and of projected vectors: formula, counts, columns."""

import itertools

import pytest
import torch

from modules.operators import FieldDotProduct
from tests.modules.operators.plain import B, D, close, plain

OUTPUTS = {"dense": (3, 2), "sparse": (4, 6), "dense_inputs": (1,), "sparse_inputs": (1,)}


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("fields", [0, 8])
def test_formula(fields, norm):
    """act(LN(W [x, pairs])): of the stem's own vectors, or of the sparse inputs projected."""
    own = plain(FieldDotProduct(fields, norm, "none"), **OUTPUTS)
    vectors = own.linear("project_fields", own.sparse[1]) if fields else own.sparse[0]
    count = vectors.shape[2]
    pairs = [(vectors[:, :, i] * vectors[:, :, j]).sum(1) for i in range(count) for j in range(i)]
    x = own.linear("project", torch.cat([own.dense[1], torch.stack(pairs, 1)], 1))
    close(own.network(own.dense, own.sparse), own.normed("norm", x) if norm else x)
    close(torch.jit.script(own.network)(own.dense, own.sparse), own.network(own.dense, own.sparse))
    number = count * (count - 1) // 2
    assert own.multiply_accumulates == (2 + number) * 5 + number * D + 6 * fields * D
    assert sum(step.parameters() for step in own.steps) == sum(p.numel() for p in own.network.parameters())


def test_columns_of_pairs_are_nested():
    """With fewer vectors in a slot the pairs are the first columns, and projected pairs stand behind all raw ones."""
    few, many = (plain(FieldDotProduct(0), **{**OUTPUTS, "sparse": (n, 6)}) for n in (3, 4))
    assert few.steps[-1].matrix.columns[1] == (5, 5 + 3) and many.steps[-1].matrix.columns[1] == (5, 5 + 6)
    projected = plain(FieldDotProduct(8), **OUTPUTS)
    assert projected.steps[-1].matrix.columns[1] == (5 + 6, 5 + 6 + 28)


def test_one_vector_has_no_pairs():
    """One field without stem vectors: only the dense inputs are read by the layer."""
    own = plain(FieldDotProduct(norm=False, activation="none"), **{**OUTPUTS, "sparse": (1, 6)})
    close(own.network(own.dense, own.sparse), own.linear("project", own.dense[1]))
    assert own.multiply_accumulates == 2 * 5 and len(own.dense[1]) == B


def test_option_choices_are_distinct_operators():
    """Every combination of the options is another value."""
    values = list(FieldDotProduct.options.values())
    made = {FieldDotProduct(*choice) for choice in itertools.product(*values)}
    count = 1
    for choices in values:
        count *= len(choices)
    assert len(made) == count
