"""Architecture files of the authors' code: written by their rules, read back, and refused wherever they are wrong."""

import copy
import dataclasses
import json

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.operators import Head, InputShape
from modules.space import (
    OPEN,
    SPACES,
    Architecture,
    SearchSpace,
    any_path,
    from_nasrec_json,
    full_path,
    single_operator_any_connection,
    to_nasrec_json,
)
from modules.space.handmade import handmade
from modules.space.nasrec import DOCUMENT, MACRO, MICRO, NASREC_CONFIGS

NODES = {
    "autoctr": ("fc", "dot_product", "efc"),
    "xlarge": ("fc", "dot_product", "sigmoid_gating", "sum", "attention", "efc"),
}
"""Our names in the order of the node names in the authors' nasrec/supernet/supernet.py (ops_config_lib)."""
CONFIGS, SEEDS = st.sampled_from(sorted(NODES)), st.integers(0, 2**32 - 1)
KEYS = [("micro", key) for key in MICRO] + [("macro", key) for key in MACRO]
WRONG = [None, True, False, -1, 0, 1, 2, 7, 17, 1024, 1.0, 1.5, float("nan"), "", "1", "xlarge", [], [0], [True], [1.0]]
WRONG += [[0, 2], [0, 0], [-1], [-1, 2], [0, 5], [0, 7], ["0"], [[0]], [None], {}, {"0": 0}, 10**400]
"""Values that some field may not have, and some that it may."""


def written(architecture: Architecture, config: str, order: numpy.random.Generator) -> dict:
    """The file: node ids and inputs in any order, flags as 0 and 1, further keys as the authors' files have them."""
    micro, macro = [], []
    for block in architecture.blocks:
        nodes = [NODES[config].index(operator.name) for operator in block.dense_operators + block.sparse_operators]
        micro.append(
            {
                "active_nodes": order.permutation(nodes).tolist(),
                "dense_in_dims": block.dense_width,
                "sparse_in_dims": block.sparse_width,
                "dense_sparse_interact": int(block.dense_to_sparse is not None),
                "deep_fm": int(block.sparse_to_dense is not None),
            }
        )
        macro.append(
            {
                "dense_idx": order.permutation(block.dense_inputs).tolist(),
                "sparse_idx": order.permutation(block.sparse_inputs).tolist(),
                "dense_left_idx": [block.left],
                "dense_right_idx": [block.right],
            }
        )
    document = {"config": config, "num_blocks": len(micro), "use_layernorm": 1, "micro": micro, "macro": macro}
    return {**document, "test_loss": 0.45}


def by_name(architecture: Architecture) -> Architecture:
    """The same with each block's operators, which are summed, in the order of their names."""
    named = {
        block: {
            field: tuple(sorted(getattr(block, field), key=lambda operator: operator.name))
            for field in ("dense_operators", "sparse_operators")
        }
        for block in architecture.blocks
    }
    return Architecture(tuple(dataclasses.replace(block, **named[block]) for block in architecture.blocks))


def some_file(config: str = "xlarge", seed: int = 0) -> dict:
    """The file of a random architecture."""
    generator = numpy.random.default_rng(seed)
    return written(single_operator_any_connection(NASREC_CONFIGS[config].space, generator), config, generator)


def plain(data: dict) -> str:
    """What a file says of its architecture as text, so that 1, 1.0 and true differ; inputs and branches in order."""
    sparse = NASREC_CONFIGS[data["config"]].space.sparse_operators
    own = NASREC_CONFIGS[data["config"]].operators
    said = {key: copy.deepcopy(data[key]) for key in DOCUMENT}
    for micro, macro in zip(said["micro"], said["macro"], strict=True):
        micro["active_nodes"].sort(key=lambda index: own[index] in sparse)
        macro["dense_idx"].sort()
        macro["sparse_idx"].sort()
    return json.dumps(said, sort_keys=True)


@settings(max_examples=25)
@given(CONFIGS, SEEDS)
def test_what_is_written_by_their_rules_is_read(config, seed):
    """Every searched architecture and every training path comes back, and lies in the configuration's space."""
    generator, space = numpy.random.default_rng(seed), NASREC_CONFIGS[config].space
    for sampler, check in (
        (single_operator_any_connection, SearchSpace.check),
        (any_path, SearchSpace.check_path),
    ):
        architecture = sampler(space, generator)
        read = from_nasrec_json(written(architecture, config, generator), searched=sampler is not any_path)
        assert by_name(read) == by_name(architecture)
        check(space, read)
        assert Architecture.from_json(read.to_json(), space) == read


@settings(max_examples=25)
@given(CONFIGS, SEEDS)
def test_round_trip(config, seed):
    """What we write is what they would write, through JSON text, and what is read from it is the same value."""
    generator, space = numpy.random.default_rng(seed), NASREC_CONFIGS[config].space
    for sampler in (single_operator_any_connection, any_path, full_path):
        architecture = sampler(space, generator)
        document = to_nasrec_json(architecture, space)
        assert json.loads(json.dumps(document)) == document
        assert from_nasrec_json(document, searched=sampler is single_operator_any_connection) == architecture
    searched = single_operator_any_connection(space, generator)
    assert plain(to_nasrec_json(searched, space)) == plain(written(searched, config, generator))


@pytest.mark.parametrize("config", NASREC_CONFIGS)
def test_a_configuration_has_the_operators_of_its_space(config):
    """Each operator of the space has one id, and there are no others."""
    own, space = NASREC_CONFIGS[config].operators, NASREC_CONFIGS[config].space
    assert len(own) == len(set(own))
    assert set(own) == {*space.dense_operators, *space.sparse_operators}


@settings(max_examples=300, deadline=None)
@given(CONFIGS, st.integers(0, 9), st.booleans(), st.data())
def test_a_changed_file_is_refused_by_name_or_means_what_it_says(config, seed, searched, data):
    """Any value replaced, any key removed or added, any list longer or shorter.

    Either a ValueError names block and field, or the architecture that is read is, written again, the changed file: no
    field was ignored, and none was taken for another value.
    """
    document = some_file(config, seed)
    path = data.draw(st.sampled_from(_paths(document)), "path")
    where = _changed(document, path, data.draw)
    try:
        read = from_nasrec_json(document, searched)
    except ValueError as error:
        assert all(part in str(error) for part in where), (where, str(error))
        return
    assert plain(document) == plain(to_nasrec_json(read, NASREC_CONFIGS[document["config"]].space))


def _paths(value, path=()):
    """The paths of all values of a JSON document, its own () included."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(below for key, item in items for below in _paths(item, (*path, key)))]


def _changed(document, path, draw):
    """Change what stands at a path; returns what an error message has to contain."""
    *above, key = path or (None,)
    holder = document
    for step in above:
        holder = holder[step]
    own = holder[key] if path else document
    kinds = ["replace", "remove"] if path else []
    kinds += ["add"] if isinstance(own, dict) else ["append", "repeat"] if isinstance(own, list) else []
    match draw(st.sampled_from(kinds), "kind"):
        case "replace":
            holder[key] = draw(st.sampled_from(WRONG), "value")
        case "remove":
            del holder[key]
        case "add":
            own[draw(st.sampled_from(["blocks", "dense_idx2", "micro", "deep_fm"]), "key")] = 0
        case "append":
            own.append(copy.deepcopy(draw(st.sampled_from(WRONG), "value")))
        case "repeat":
            own.append(copy.deepcopy(own[0]))
    if len(path) < 2:
        return [str(key)] if path else []
    if len(document[path[0]]) != document["num_blocks"]:
        return [path[0], "num_blocks"]
    return [f"block {path[1] + 1}, {path[0]}[{path[1]}]", *path[2:3]]


@pytest.mark.parametrize(("part", "key"), KEYS)
def test_a_missing_and_an_unknown_key_of_a_block_are_named(part, key):
    """Each key of a block is needed, and there are no others."""
    data = some_file()
    del data[part][3][key]
    with pytest.raises(ValueError, match=rf"block 4, {part}\[3\]: missing keys \['{key}'\], unknown keys \[\]"):
        from_nasrec_json(data)
    data[part][3][key.upper()] = 0
    with pytest.raises(ValueError, match=rf"missing keys \['{key}'\], unknown keys \['{key.upper()}'\]"):
        from_nasrec_json(data)


@pytest.mark.parametrize("key", DOCUMENT)
def test_a_missing_and_an_unknown_key_of_the_file_are_named(key):
    """What the authors' programs need is needed; what they add (use_layernorm, test_loss) may be missing."""
    data = some_file()
    from_nasrec_json({name: value for name, value in data.items() if name in DOCUMENT})
    with pytest.raises(ValueError, match=rf"the file: missing keys \[\], unknown keys \['{key}_'\]"):
        from_nasrec_json({**data, f"{key}_": data[key]})
    with pytest.raises(ValueError, match=rf"the file: missing keys \['{key}'\]"):
        from_nasrec_json({name: value for name, value in data.items() if name != key})


@pytest.mark.parametrize("config", [None, "tiny", "nasrec_full", "xlarge-zeros", 7, ["xlarge"], {}])
def test_another_configuration_is_refused_with_those_that_are_read(config):
    """Also where it is our name for the space, or no name at all."""
    with pytest.raises(ValueError, match=r"config: found .*\['autoctr', 'xlarge'\]"):
        from_nasrec_json({**some_file(), "config": config})


IDS = r"expected a list of .* of {0: 'fc', 1: 'dot_product', 2: 'sigmoid_gating', 3: 'sum'} and .* {4: 'attention'"


@pytest.mark.parametrize(
    ("part", "key", "value", "expected"),
    [
        ("micro", "active_nodes", [6], IDS),
        ("micro", "active_nodes", [-1, 5], IDS),
        ("micro", "active_nodes", [True, 5], IDS),
        ("micro", "active_nodes", [1.0, 5], IDS),
        ("micro", "active_nodes", [0, 0, 5], IDS),
        ("micro", "active_nodes", [0, 1], IDS),
        ("micro", "active_nodes", [4], IDS),
        ("micro", "active_nodes", [], IDS),
        ("micro", "active_nodes", 5, IDS),
        ("micro", "dense_in_dims", 256.0, r"expected one of \[16, 32, 64, 128, 256, 512, 768, 1024\]"),
        ("micro", "dense_in_dims", "256", r"expected one of \[16, 32, 64"),
        ("micro", "dense_in_dims", 48, r"expected one of \[16, 32, 64"),
        ("micro", "sparse_in_dims", 48.9, r"expected one of \[16, 32, 48, 64\]"),
        ("micro", "dense_sparse_interact", True, r"true, expected one of \[0, 1\]"),
        ("micro", "dense_sparse_interact", 2, r"2, expected one of \[0, 1\]"),
        ("micro", "deep_fm", "0", r"\"0\", expected one of \[0, 1\]"),
        ("micro", "deep_fm", [], r"\[\], expected one of \[0, 1\]"),
        ("macro", "dense_idx", [-1], r"expected a list of 1 to 3 different numbers of \[0, 1, 2\]"),
        ("macro", "dense_idx", [3], r"expected a list of 1 to 3 different numbers of \[0, 1, 2\]"),
        ("macro", "dense_idx", [], r"expected a list of 1 to 3 different"),
        ("macro", "dense_idx", [1, 1], r"expected a list of 1 to 3 different"),
        ("macro", "sparse_idx", [False], r"\[false\], expected a list of 1 to 3 different"),
        ("macro", "sparse_idx", [2.0], r"\[2.0\], expected a list of 1 to 3 different"),
        ("macro", "sparse_idx", "0", r"\"0\", expected a list"),
        ("macro", "dense_left_idx", [0, 1], r"expected a list of one number of \[0, 1, 2\]"),
        ("macro", "dense_left_idx", 0, r"expected a list of one number of \[0, 1, 2\]"),
        ("macro", "dense_right_idx", [True], r"\[true\], expected a list of one number of \[0, 1, 2\]"),
        ("macro", "dense_right_idx", [-1], r"expected a list of one number of \[0, 1, 2\]"),
    ],
)
def test_a_wrong_field_of_a_block_is_named_with_what_is_allowed(part, key, value, expected):
    """Ids of no node, negative ones, booleans and floats, later outputs, wrong numbers of them, other widths."""
    data = some_file()
    data[part][2][key] = value
    with pytest.raises(ValueError, match=rf"block 3, {part}\[2\]\.{key}: found .*{expected}"):
        from_nasrec_json(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.update(micro={}), r"micro: found {}, expected a list of 7 objects"),
        (lambda data: data["macro"].__setitem__(3, [0]), r"block 4, macro\[3\]: found \[0\], expected an object with"),
        (lambda data: data["micro"].pop(), "micro: found 6 blocks, but num_blocks is 7"),
        (lambda data: data["macro"].pop(), "macro: found 6 blocks, but num_blocks is 7"),
        (lambda data: data.update(num_blocks=8), "micro: found 7 blocks, but num_blocks is 8"),
        (lambda data: data.update(num_blocks=7.0), "num_blocks: found 7.0"),
        (lambda data: data.update(num_blocks=0, micro=[], macro=[]), "num_blocks: found 0, expected .* at least 1"),
        (lambda data: data.update(use_layernorm=True), r"use_layernorm: found true, expected one of \[0, 1\]"),
        (lambda data: data.update(test_loss="0.45"), 'test_loss: found "0.45", expected a number'),
        (lambda data: data.update(test_loss=True), "test_loss: found true"),
    ],
)
def test_fields_beside_the_blocks_agree_with_them(change, message):
    """Numbers of blocks that contradict each other, and settings of another type."""
    data = some_file()
    change(data)
    with pytest.raises(ValueError, match=message):
        from_nasrec_json(data)


@pytest.mark.parametrize("data", [None, [], "xlarge", 7])
def test_what_is_no_object_is_no_file(data):
    """The file itself."""
    with pytest.raises(ValueError, match=r"the file: found .*, expected an object with the keys \['config'"):
        from_nasrec_json(data)


def test_training_paths_are_read_where_they_may_be():
    """Several operators, more than four inputs and fewer blocks are read, unless the file's was to be searched."""
    space = NASREC_CONFIGS["xlarge"].space
    data = to_nasrec_json(full_path(space, numpy.random.default_rng(0)), space)
    assert len(from_nasrec_json(data).blocks[6].dense_inputs) == 7
    with pytest.raises(ValueError, match=r"block 1, micro\[0\]\.active_nodes: found \[0, 1, 2, 3, 5, 4\], .* one of"):
        from_nasrec_json(data, searched=True)
    for micro in data["micro"]:
        micro["active_nodes"] = [3, 4]
    assert from_nasrec_json(data)
    with pytest.raises(ValueError, match=r"block 5, macro\[4\]\.dense_idx: found \[0, .* 1 to 4 different numbers of"):
        from_nasrec_json(data, searched=True)
    short = {**some_file(), "num_blocks": 3}
    short.update(micro=short["micro"][:3], macro=short["macro"][:3])
    assert len(from_nasrec_json(short).blocks) == 3
    with pytest.raises(ValueError, match="num_blocks: found 3, nasrec_full has 7"):
        from_nasrec_json(short, searched=True)


def test_what_the_format_cannot_hold_is_not_written():
    """The open space, its architectures, another space's operators, and changed ones: a ValueError says what."""
    generator = numpy.random.default_rng(0)
    small, full = (SPACES[name] for name in ("nasrec_small", "nasrec_full"))
    random = single_operator_any_connection(full, generator)
    with pytest.raises(ValueError, match=r"one of \['nasrec_small', 'nasrec_full'\], and none of open"):
        to_nasrec_json(single_operator_any_connection(OPEN, generator), OPEN)
    with pytest.raises(ValueError, match=r"configuration 'xlarge' can hold this architecture: blocks: .*"):
        to_nasrec_json(handmade("dlrm", InputShape(13, 26, 16)), full)
    with pytest.raises(ValueError, match=r"'autoctr' .* block 1, dense_operators: 'sum' is not in nasrec_small"):
        to_nasrec_json(random, small)
    with pytest.raises(ValueError, match=r"head: .* it reads both outputs of the last block"):
        to_nasrec_json(dataclasses.replace(random, head=Head((0,), (1,))), full)
    narrow = dataclasses.replace(random.blocks[0], dense_width=100)
    with pytest.raises(ValueError, match="block 1, dense_width: 100 is outside nasrec_full"):
        to_nasrec_json(Architecture((narrow, *random.blocks[1:])), full)
