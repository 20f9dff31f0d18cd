"""Both sides of the comparison run the same paths: our architectures and the reference's choices are one thing."""

import numpy
import pytest

from benchmarks.nasrec_reference import choice_of, open_reference
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
        assert from_nasrec_json(choice_of(architecture, space)) == architecture


def test_a_folder_without_the_reference_is_refused(tmp_path: object) -> None:
    """A wrong --reference is told with what is missing there."""
    with pytest.raises(ValueError, match="give a checkout of NasRec"):
        open_reference(str(tmp_path))
