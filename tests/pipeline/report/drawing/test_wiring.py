"""The list of edges against the blocks' own fields."""

import numpy
from hypothesis import given
from hypothesis import strategies as st

from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    Architecture,
    any_path,
    full_path,
    live,
    single_operator_any_connection,
)
from pipeline.report.drawing.wiring import dead_parts, edges

architectures = st.builds(
    lambda space, sampler, seed: sampler(space, numpy.random.default_rng(seed)),
    st.sampled_from([NASREC_SMALL, NASREC_FULL]),
    st.sampled_from([single_operator_any_connection, any_path, full_path]),
    st.integers(0, 2**32 - 1),
)


@given(architectures)
def test_live_edges_are_what_the_blocks_read(architecture: Architecture) -> None:
    """The sources of the live edges into each operator are exactly the outputs that the block reads."""
    found = edges(architecture)
    for number, (block, alive) in enumerate(zip(architecture.blocks, live(architecture), strict=True), start=1):
        operators = (block.dense_operators if alive.dense else ()) + (block.sparse_operators if alive.sparse else ())
        read = {one for operator in operators for one in operator.reads(block)}
        into = [edge for edge in found if edge.live and edge.target in (f"d{number}", f"s{number}")]
        sources = {edge.source for edge in into if edge.role != "merger"}
        assert sources == {f"{one.side[0]}{one.output}" for one in read}
        mergers = {(edge.source, edge.target) for edge in into if edge.role == "merger"}
        expected = {(f"d{number}", f"s{number}")} if alive.dense_to_sparse else set()
        expected |= {(f"s{number}", f"d{number}")} if alive.sparse_to_dense else set()
        assert mergers == expected


@given(architectures)
def test_no_edge_twice(architecture: Architecture) -> None:
    """An output is read by an operator once in each role."""
    found = edges(architecture)
    assert len({(edge.source, edge.target, edge.role) for edge in found}) == len(found)


@given(architectures)
def test_roles_follow_the_operators(architecture: Architecture) -> None:
    """Gating and sum read one left and one right operand; only dot product reads the sparse lane from the dense."""
    found = edges(architecture)
    for number, block in enumerate(architecture.blocks, start=1):
        into = [edge for edge in found if edge.target == f"d{number}"]
        operands = [(edge.role, edge.source) for edge in into if edge.role in ("left", "right")]
        names = {operator.name for operator in block.dense_operators}
        binary = {"sigmoid_gating", "sum"} & names
        assert operands == ([("left", f"d{block.left}"), ("right", f"d{block.right}")] if binary else [])
        joined = [edge.source for edge in into if edge.role == "input"]
        expected = [f"d{index}" for index in block.dense_inputs] if {"fc", "dot_product"} & names else []
        expected += [f"s{index}" for index in block.sparse_inputs] if "dot_product" in names else []
        assert joined == expected


@given(architectures)
def test_dead_parts_name_what_live_denies(architecture: Architecture) -> None:
    """An operator is named as dead exactly when it is not computed."""
    dead = set(dead_parts(architecture))
    for number, alive in enumerate(live(architecture), start=1):
        assert (f"dense operator of block {number}" in dead) is not alive.dense
        assert (f"sparse operator of block {number}" in dead) is not alive.sparse
