"""Mappings as values: what can be laid out, and how many copies there may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pim_codesign.mapping import ACTIVATION_BITS, WEIGHT_BITS, Embeddings, Mapping, OperatorMapping, Stage, Workload
from pim_codesign.mapping.mapping import max_dup

POWERS = {2**exponent for exponent in range(8)}


def is_allowed(**values: int) -> bool:
    """Whether an operator can be laid out so; a refusal names the field and its value."""
    try:
        OperatorMapping(**values)
    except ValueError as error:
        assert any(f"OperatorMapping.{name} is {value}" in str(error) for name, value in values.items())
        return False
    return True


def test_bits_are_two_to_sixteen() -> None:
    """Of weights and of activations; what the search gives lies in that range."""
    for field, searched in (("weight_bits", WEIGHT_BITS), ("activation_bits", ACTIVATION_BITS)):
        allowed = {bits for bits in range(-3, 40) if is_allowed(**{field: bits})}
        assert allowed == set(range(2, 17)) and allowed > set(searched)


def test_copies_are_a_power_of_two() -> None:
    """At least one, and no other number."""
    assert {dup for dup in range(-5, 129) if is_allowed(dup=dup)} == POWERS


@given(st.integers(1, 10**9))
def test_the_most_copies_are_the_largest_power_of_two_of_the_vectors(vectors: int) -> None:
    """No more copies than vectors, twice as many would be too many, and an operator can have them."""
    most = max_dup(vectors)
    assert most <= vectors < 2 * most
    assert is_allowed(dup=most)


@given(
    st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=8), st.sampled_from(WEIGHT_BITS), st.sampled_from([1, 4])
)
def test_a_uniform_mapping_lays_out_every_operator_once(names: list[str], bits: int, dup: int) -> None:
    """Stages of one operator share its mapping, stages without one have none; without more it is W8A8, one copy."""
    stages = (Stage("embeddings", "", ()), *(Stage(f"stage_{n}", name, ()) for n, name in enumerate(names)))
    workload, count = Workload(stages, Embeddings(1, 1)), len({*names} - {""})
    mapping = Mapping.uniform(workload, bits, 4, dup)
    assert mapping.operators == tuple(OperatorMapping(bits, 4, dup) for _ in range(count))
    assert Mapping.uniform(workload) == Mapping((OperatorMapping(8, 8, 1),) * count)


@pytest.mark.parametrize("field", ["weight_bits", "activation_bits", "dup"])
def test_mappings_differ_in_every_field(field: str) -> None:
    """Equal values are equal and hashed alike; another value in any field is another mapping."""
    own, other = OperatorMapping(), OperatorMapping(**{field: 4})
    assert own == OperatorMapping() and hash(own) == hash(OperatorMapping())
    assert Mapping((own,)) != Mapping((other,))
