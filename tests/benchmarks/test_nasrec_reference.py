"""Both sides of the comparison run the same paths: our architectures and the reference's choices are one thing."""

import numpy
import pytest

from benchmarks.nasrec_reference import CONFIGS, choice_of, open_reference
from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    SearchSpace,
    any_path,
    from_nasrec_json,
    single_operator_any_connection,
)


@pytest.mark.parametrize("space", [NASREC_SMALL, NASREC_FULL], ids=lambda space: space.name)
def test_choices_read_back_as_the_architecture(space: SearchSpace) -> None:
    """The reference's own file format, read by the product, gives the architecture that was translated."""
    draws = numpy.random.default_rng(0)
    for sampler in [single_operator_any_connection, any_path] * 20:
        architecture = sampler(space, draws)
        read = from_nasrec_json({"config": CONFIGS[space.name], **choice_of(architecture, space)})
        for block, expected in zip(read.blocks, architecture.blocks, strict=True):
            assert set(block.dense_operators) == set(expected.dense_operators)
            assert set(block.sparse_operators) == set(expected.sparse_operators)
            for field in ("dense_width", "sparse_width", "dense_inputs", "sparse_inputs", "left", "right"):
                assert getattr(block, field) == getattr(expected, field)
            assert block.dense_to_sparse == expected.dense_to_sparse
            assert block.sparse_to_dense == expected.sparse_to_dense


def test_a_folder_without_the_reference_is_refused(tmp_path: object) -> None:
    """A wrong --reference is told with what is missing there."""
    with pytest.raises(ValueError, match="give a checkout of NasRec"):
        open_reference(str(tmp_path))
