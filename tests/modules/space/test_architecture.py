"""Architectures as values: JSON both ways, and what is refused."""

import copy
import dataclasses
import json

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.operators import FullyConnected, Head, Stem, WideFullyConnected
from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    OPEN,
    Architecture,
    InputShape,
    from_nasrec_json,
    single_operator_any_connection,
)


def draw(seed: int, space=NASREC_FULL) -> Architecture:
    """A random architecture."""
    return single_operator_any_connection(space, numpy.random.default_rng(seed))


@given(st.integers(0, 2**32 - 1), st.sampled_from([NASREC_SMALL, NASREC_FULL, OPEN]))
def test_json_gives_the_same_value_back(seed, space):
    """from_json(to_json) through a JSON text is equal and hashes alike."""
    architecture = draw(seed, space)
    back = Architecture.from_json(json.loads(json.dumps(architecture.to_json())), space)
    assert back == architecture and hash(back) == hash(architecture)


@pytest.mark.parametrize(
    ("block", "field", "value", "message"),
    [
        (2, "dense_inputs", [0, 3], r"block 3, dense_inputs: \[0, 3\].*may read outputs 0 to 2"),
        (0, "left", 1, "block 1, left.*not an earlier output"),
        (1, "sparse_inputs", [-1], "block 2, sparse_inputs"),
        (1, "sparse_inputs", [], "block 2, sparse_inputs is empty"),
        (1, "dense_inputs", [1, 0], "ascending"),
        (3, "dense_operators", ["conv"], "block 4, dense_operators: unknown operator 'conv'; nasrec_full has .*'fc'"),
        (3, "dense_operators", ["efc"], "block 4, dense_operators: unknown operator 'efc'"),
        (3, "dense_operators", ["fc", "fc"], "block 4, dense_operators.*list each once"),
        (3, "sparse_operators", [], "block 4, sparse_operators"),
        (3, "dense_width", 0, "block 4, dense_width: 0"),
        (3, "dense_width", "64", "block 4, dense_width: '64'; expected int"),
        (3, "dense_to_sparse", 1, "block 4, dense_to_sparse: 1; expected bool"),
        (3, "dense_inputs", "01", "block 4, dense_inputs: '01'; expected a list of int"),
    ],
)
def test_an_impossible_field_is_named(block, field, value, message):
    """Every wrong field of an architecture file is an error that names block, field and value."""
    data = copy.deepcopy(draw(0).to_json())
    data["blocks"][block][field] = value
    with pytest.raises(ValueError, match=message):
        Architecture.from_json(data, NASREC_FULL)


OPEN_DATA = {
    "blocks": [
        {
            "dense_operators": [{"name": "fc", "fields": 8}], "sparse_operators": ["cross"], "dense_width": 16,
            "sparse_width": 8, "dense_inputs": [0], "sparse_inputs": [0], "left": 0, "right": 0,
            "dense_to_sparse": False, "sparse_to_dense": False,
        }
    ],
    "stem": {"hidden": [128], "vectors": 2},
    "head": {"dense": [1], "sparse": [0, 1]},
}  # fmt: skip


def test_the_open_space_has_options_stem_and_head_in_json():
    """Read and written again they are the same; what is default is not written."""
    architecture = Architecture.from_json(OPEN_DATA, OPEN)
    assert json.loads(json.dumps(architecture.to_json())) == OPEN_DATA
    assert architecture.blocks[0].dense_operators == (WideFullyConnected(fields=8),)
    assert architecture.stem == Stem((128,), 2) and architecture.logit == Head((1,), (0, 1))
    OPEN.check(architecture)
    assert set(Architecture(architecture.blocks).to_json()) == {"blocks"}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("head", {"dense": [2], "sparse": []}, r"head, dense: \[2\]; it may read outputs 0 to 1"),
        ("head", {"dense": [], "sparse": []}, "the head reads nothing"),
        ("head", {"dense": [1, 0], "sparse": []}, r"head, dense: \[1, 0\].*ascending"),
        ("head", {"dense": [1]}, 'head: .*expected an object with the keys "dense" and "sparse"'),
        ("head", {"dense": ["1"], "sparse": []}, "head, dense: .*expected a list of int"),
        ("stem", {"vectors": -1}, "stem"),
        ("operator", {"name": "fc", "fields": 7}, "block 1, dense_operators: fc, fields: 7 is no choice"),
        ("operator", {"name": "fc", "norm": 1}, "block 1, dense_operators: fc, norm: 1 is no choice"),
        ("operator", {"name": "fc", "rank": 1}, "block 1, dense_operators: fc has no option 'rank'"),
        ("operator", {"fields": 8}, 'block 1, dense_operators: .*an object with the key "name"'),
        ("operator", ["fc"], "block 1, dense_operators: .*expected a name"),
    ],
)
def test_a_wrong_stem_head_or_option_is_named(field, value, message):
    """ValueError with the place, the value and what is possible."""
    data = copy.deepcopy(OPEN_DATA)
    if field == "operator":
        data["blocks"][0]["dense_operators"] = [value]
    else:
        data[field] = value
    with pytest.raises(ValueError, match=message):
        Architecture.from_json(data, OPEN)


@pytest.mark.parametrize("data", [None, [], {}, {"blocks": []}, {"blocks": [1]}, {"blocks": [{}]}])
def test_what_is_not_an_architecture_is_refused(data):
    """Other JSON documents raise ValueError, never another error."""
    with pytest.raises(ValueError):
        Architecture.from_json(data, NASREC_FULL)


def test_unknown_and_missing_fields_are_named():
    """A block with a field too many or too few says which."""
    data = draw(0).to_json()
    data["blocks"][1]["depth"] = data["blocks"][1].pop("dense_width")
    with pytest.raises(ValueError, match=r"block 2: unknown fields \['depth'\], missing fields \['dense_width'\]"):
        Architecture.from_json(data, NASREC_FULL)


def test_reads_the_reference_format():
    """Operator ids, one-based outputs and flags of a NasRec file arrive in the right fields."""
    micro = [
        {"active_nodes": [2, 4], "dense_in_dims": 128, "sparse_in_dims": 64, "dense_sparse_interact": 1, "deep_fm": 0},
        {"active_nodes": [1, 5], "dense_in_dims": 32, "sparse_in_dims": 16, "dense_sparse_interact": 0, "deep_fm": 1},
    ]
    macro = [
        {"dense_idx": [0], "sparse_idx": [0], "dense_left_idx": [0], "dense_right_idx": [0]},
        {"dense_idx": [1, 0], "sparse_idx": [1], "dense_left_idx": [0], "dense_right_idx": [1]},
    ]
    data = {"micro": micro, "macro": macro, "num_blocks": 2, "use_layernorm": 1, "config": "xlarge"}
    first, second = from_nasrec_json(data).blocks
    assert [operator.name for operator in first.operators()] == ["sigmoid_gating", "attention", "dense_to_sparse"]
    assert (first.dense_to_sparse, first.sparse_to_dense) == (NASREC_FULL.dense_to_sparse, None)
    assert [operator.name for operator in second.operators()] == ["dot_product", "efc", "sparse_to_dense"]
    assert (second.dense_inputs, second.right, second.dense_width, second.sparse_width) == ((0, 1), 1, 32, 16)
    with pytest.raises(ValueError, match='config: found "tiny"'):
        from_nasrec_json({**data, "config": "tiny"})
    with pytest.raises(ValueError, match="missing keys"):
        from_nasrec_json({"config": "xlarge", "micro": micro})


@pytest.mark.parametrize("field", ["integers", "fields", "embedding_width"])
def test_an_empty_shape_is_refused(field):
    """A shape without inputs names the field."""
    with pytest.raises(ValueError, match=field):
        InputShape(**{"integers": 1, "fields": 1, "embedding_width": 1, field: 0})


def test_an_output_that_is_read_is_made():
    """A branch without operators is possible only where nothing reads it."""
    block = draw(0).blocks[0]
    unread = dataclasses.replace(block, sparse_operators=(), dense_to_sparse=None, sparse_to_dense=None)
    last = dataclasses.replace(
        block, dense_operators=(FullyConnected(),), sparse_inputs=(0,), dense_inputs=(0,), sparse_to_dense=None
    )
    assert Architecture((unread, last)).blocks[0].sparse_operators == ()
    with pytest.raises(ValueError, match="block 1, sparse_operators is empty, but block 2 reads its sparse output"):
        Architecture((unread, dataclasses.replace(last, sparse_inputs=(1,))))
    with pytest.raises(ValueError, match="block 1, sparse_operators is empty, but the head reads its sparse output"):
        Architecture((unread,))
    with pytest.raises(ValueError, match=r"block 1, sparse_to_dense: .* is not an operator that makes"):
        Architecture((dataclasses.replace(block, sparse_to_dense=FullyConnected()),))


def test_a_merger_that_the_space_does_not_have():
    """An architecture file with a merger is refused where the space has none."""
    data = draw(0).to_json()
    data["blocks"][2]["dense_to_sparse"] = True
    space = dataclasses.replace(NASREC_FULL, name="plain", dense_to_sparse=None)
    with pytest.raises(ValueError, match="dense_to_sparse: true, but plain has no such merger"):
        Architecture.from_json(data, space)
