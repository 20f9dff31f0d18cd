"""Architecture files of the authors' code: written by their rules from random architectures, and read back."""

import copy
import dataclasses

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.space import Architecture, SearchSpace, any_path, from_nasrec_json, single_operator_any_connection
from modules.space.nasrec import NASREC_CONFIGS

NODES = {
    "autoctr": ("fc", "dot_product", "efc"),
    "xlarge": ("fc", "dot_product", "sigmoid_gating", "sum", "attention", "efc"),
}
"""Our names in the order of the node names in the authors' nasrec/supernet/supernet.py (ops_config_lib)."""


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
    return {"config": config, "num_blocks": len(micro), "use_layernorm": 1, "micro": micro, "macro": macro}


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


def some_file(config: str = "xlarge") -> dict:
    """The file of a random architecture."""
    generator = numpy.random.default_rng(0)
    return written(single_operator_any_connection(NASREC_CONFIGS[config].space, generator), config, generator)


@settings(max_examples=25)
@given(st.sampled_from(sorted(NODES)), st.integers(0, 2**32 - 1))
def test_what_is_written_is_read(config, seed):
    """Every searched architecture and every training path comes back, and lies in the configuration's space."""
    generator, space = numpy.random.default_rng(seed), NASREC_CONFIGS[config].space
    for sampler, check in (
        (single_operator_any_connection, SearchSpace.check),
        (any_path, SearchSpace.check_path),
    ):
        architecture = sampler(space, generator)
        read = from_nasrec_json(written(architecture, config, generator))
        assert by_name(read) == by_name(architecture)
        check(space, read)
        assert Architecture.from_json(read.to_json(), space) == read


@pytest.mark.parametrize("config", NASREC_CONFIGS)
def test_a_configuration_has_the_operators_of_its_space(config):
    """Each operator of the space has one id, and there are no others."""
    own, space = NASREC_CONFIGS[config].operators, NASREC_CONFIGS[config].space
    assert len(own) == len(set(own))
    assert set(own) == {*space.dense_operators, *space.sparse_operators}


@pytest.mark.parametrize("part", ["micro", "macro"])
def test_a_missing_key_is_named(part):
    """Each key of a block, and the whole part: all of them are needed."""
    data = some_file()
    for key in data[part][3]:
        without = copy.deepcopy(data)
        del without[part][3][key]
        with pytest.raises(ValueError, match=f"not a NasRec architecture file: KeyError '{key}'"):
            from_nasrec_json(without)
    del data[part]
    with pytest.raises(ValueError, match=f"KeyError '{part}'"):
        from_nasrec_json(data)


@pytest.mark.parametrize("config", [None, "tiny", "nasrec_full"])
def test_another_configuration_is_refused_with_those_that_are_read(config):
    """Also where the file names none, and where it is our name for the space."""
    with pytest.raises(ValueError, match=rf"config: {config!r}; .*\['autoctr', 'xlarge'\]"):
        from_nasrec_json({**some_file(), "config": config})


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["micro"].pop(),
        lambda data: data["macro"].pop(),
        lambda data: data["micro"][2].update(active_nodes=[6]),
        lambda data: data["micro"][2].update(active_nodes=[-1]),
        lambda data: data["micro"][2].update(active_nodes=[0, 0, 5]),
        lambda data: data["macro"][2].update(dense_idx=[3]),
        lambda data: data["macro"][2].update(dense_idx=[]),
        lambda data: data["macro"][2].update(dense_left_idx=[0, 1]),
        lambda data: data["macro"][2].update(dense_left_idx=0),
        lambda data: data.update(micro=[], macro=[]),
        lambda data: data.update(micro=None),
    ],
)
def test_an_impossible_file_is_refused(change):
    """Too few blocks, an id of no node, an output of no earlier block, a list in the wrong place: a ValueError."""
    data = some_file()
    from_nasrec_json(data)
    change(data)
    with pytest.raises(ValueError):
        from_nasrec_json(data)
