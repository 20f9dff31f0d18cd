"""Flattened outputs and the columns that they stand at are one convention."""

import torch

from modules.operators import Inputs, Slot, StemShape
from modules.operators.flatten import flattened, flattened_stem, joined

DENSE, SPARSE = (Slot(0, 5, (0, 3)), Slot(5, 4, (0, 2))), (Slot(0, 3, (0, 2)), Slot(3, 6, (2, 5)))


def test_a_part_of_the_vectors_is_one_range():
    """Numbers of vector k of width D stand at k D … (k + 1) D."""
    vectors = torch.arange(24.0).view(1, 4, 6)  # [B, D, n]
    flat = flattened(vectors)
    for k in range(6):
        assert torch.equal(flat[:, 4 * k : 4 * (k + 1)], vectors[:, :, k])


def test_joined_tensors_have_the_widths_of_their_columns():
    """`joined` gives one tensor a range of `joined_columns`, ranges are inside the region and apart."""
    inputs = Inputs(StemShape(3, 2, 4), DENSE, SPARSE)
    dense, sparse = [torch.rand(1, 3), torch.rand(1, 2)], [torch.rand(1, 4, 2), torch.rand(1, 4, 3)]
    columns = inputs.joined_columns((0, 1), (0, 1), start=7)
    parts = joined(dense, sparse, [0, 1], [0, 1])
    assert [part.shape[1] for part in parts] == [stop - start for start, stop in columns]
    assert columns == ((7, 10), (12, 14), (16, 24), (16 + 5 * 4, 16 + 8 * 4))
    assert inputs.joined_size == 9 + 9 * 4


def test_the_flattened_stem_has_integers_only_without_vectors():
    """x₀'s tensors have the widths of `stem_columns`, whose region holds both kinds of stem."""
    dense, sparse = [torch.rand(1, 3)], [torch.rand(1, 4, 2)]
    plain = Inputs(StemShape(3, 2, 4), DENSE, SPARSE)
    assert plain.stem_columns() == ((0, 3), (3, 11)) and plain.stem_size == 3 + 3 * 4
    assert [part.shape[1] for part in flattened_stem(dense, sparse, 0)] == [3, 8]
    made = Inputs(StemShape(3, 2, 4, stem_vectors=1), DENSE, SPARSE)
    assert made.stem_columns(start=2) == ((5, 17),)
    assert [part.shape[1] for part in flattened_stem([torch.rand(1, 4)], [torch.rand(1, 4, 3)], 1)] == [12]
