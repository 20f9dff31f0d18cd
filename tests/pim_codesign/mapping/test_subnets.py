"""The workload of a network, sampled or hand-made, against the real one: its matrices, and what waits for what."""

import dataclasses
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from modules.operators import Linear
from modules.operators.attention import heads_of
from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    Architecture,
    InputShape,
    any_path,
    multiply_accumulates,
    single_operator_any_connection,
)
from modules.space.handmade import HANDMADE, handmade
from modules.supernet import Subnet
from pim_codesign import Workload, workload_of_subnet
from pim_codesign.mapping import Embeddings

SHAPE = InputShape(5, 6, 8)
ARCHITECTURES = [
    sampler(space, numpy.random.default_rng(seed))
    for seed in range(3)
    for space in (NASREC_SMALL, NASREC_FULL)
    for sampler in (single_operator_any_connection, any_path)
]
MADE_BY_HAND = [pytest.param(handmade(name, SHAPE), id=name) for name in HANDMADE]


def _linears(subnet: nn.Module) -> dict[str, Linear]:
    return {name: module for name, module in subnet.named_modules() if isinstance(module, Linear)}


def _run(subnet: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    dense = torch.rand(3, SHAPE.integers, dtype=torch.float64, generator=generator)
    subnet(dense, torch.rand(3, SHAPE.fields, SHAPE.embedding_width, dtype=torch.float64, generator=generator))


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *MADE_BY_HAND])
def test_stages_are_the_matrices_of_the_real_network(architecture: Architecture) -> None:
    """Every Linear module is one stage of its size, and V is how many vectors a sample really sends through it."""
    subnet = Subnet(architecture, SHAPE, torch.Generator().manual_seed(0)).double()
    found: dict[str, tuple[int, int, int]] = {}
    for name, linear in _linears(subnet).items():

        def count(module: Linear, inputs: Any, output: Tensor, name: str = name) -> None:
            outputs, columns = module.weight.shape
            found[name] = (output.numel() // outputs // 3, columns, outputs)  # 3 samples

        linear.register_forward_hook(count)
    with torch.no_grad():
        _run(subnet)
    workload = workload_of_subnet(architecture, SHAPE)
    assert {s.name: (s.vectors, s.inputs, s.outputs) for s in workload.stages if s.operator} == found
    assert workload.multiply_accumulates == multiply_accumulates(architecture, SHAPE)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES[:6], *MADE_BY_HAND])
@pytest.mark.slow
def test_dependencies_are_those_of_the_real_network(architecture: Architecture) -> None:
    """A stage whose matrix' input changes with the output of another stage's matrix is after that stage.

    In NASRec's spaces the reverse holds too. A hand-made model's stage may also wait for what is joined to its matrix'
    output: a factor, a sum.
    """
    subnet = Subnet(architecture, SHAPE, torch.Generator().manual_seed(0)).double()
    workload = workload_of_subnet(architecture, SHAPE)
    linears = _linears(subnet)
    names = {index: stage.name for index, stage in enumerate(workload.stages) if stage.operator}
    after = _reachable(workload)
    calm = _inputs_of(subnet, linears)
    for i, name in names.items():
        disturb = linears[name].register_forward_hook(lambda module, inputs, output: output + torch.randn_like(output))
        stormy = _inputs_of(subnet, linears)
        disturb.remove()
        changed = {j for j, other in names.items() if not torch.equal(calm[other], stormy[other])}
        expected = after[i] & names.keys()
        assert changed == expected if architecture in ARCHITECTURES else changed <= expected, name


def _inputs_of(subnet: nn.Module, linears: dict[str, Linear]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    handles = []
    for name, linear in linears.items():

        def keep(module: Linear, inputs: Any, name: str = name) -> None:
            found[name] = torch.cat(inputs[0], dim=-1).clone()

        handles.append(linear.register_forward_pre_hook(keep))
    with torch.no_grad():
        _run(subnet)
    for handle in handles:
        handle.remove()
    return found


def _reachable(workload: Workload) -> list[set[int]]:
    """Stages after each stage, directly or not."""
    after: list[set[int]] = [set() for _ in workload.stages]
    for index in reversed(range(len(workload.stages))):
        for before in workload.stages[index].depends:
            after[before] |= {index} | after[index]
    return after


def test_projections_of_narrower_tables() -> None:
    """Each is a matrix of one operator between the lookup and what reads the fields; the lookup reads the tables' own
    widths."""
    shape = InputShape(5, 6, 8, table_widths=(4, 8, 8, 4, 4, 8))
    architecture = handmade("dlrm", SHAPE)
    workload = workload_of_subnet(architecture, shape, (10, 20, 30, 40, 50, 60))
    linears = _linears(Subnet(architecture, shape))
    assert {s.name: (s.inputs, s.outputs) for s in workload.stages if s.operator} == {
        name: (linear.weight.shape[1], linear.weight.shape[0]) for name, linear in linears.items()
    }
    own = [index for index, stage in enumerate(workload.stages) if stage.operator == "projections"]
    assert [workload.stages[index].name for index in own] == [f"projections.fields.{field}" for field in (0, 3, 4)]
    assert all(workload.stages[index].depends == (0,) for index in own)
    plain = workload_of_subnet(architecture, SHAPE)
    readers = {stage.name for stage in plain.stages if 0 in stage.depends}
    assert readers == {stage.name for stage in workload.stages if set(own) <= set(stage.depends)}
    assert workload.embeddings == Embeddings(3, 8, 110, (Embeddings(3, 4, 100),))
    assert workload.multiply_accumulates == multiply_accumulates(architecture, shape)


def test_attention_work_is_that_of_its_formula() -> None:
    """n tokens of width D in H heads: n²·D products for QKᵀ and for AV, and n²·H exponentials."""
    architecture = next(
        a for a in ARCHITECTURES if any("attention" in stage.operator for stage in workload_of_subnet(a, SHAPE).stages)
    )
    found = [s for s in workload_of_subnet(architecture, SHAPE).stages if s.name.endswith("query_key_value")]
    assert found
    for stage in found:
        n, width, heads = stage.vectors, SHAPE.embedding_width, heads_of(SHAPE.embedding_width)
        for product in stage.computed:
            assert product.count * product.vectors * product.rows * product.columns == n * n * width
            assert product.multiply_accumulates == n * n * width
        assert stage.lookups == n * n * heads


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_biases_are_cheaper_than_norms(architecture: Architecture) -> None:
    """Without norms every norm's operations (5 a number) are gone and one addition a number is there; no more."""
    with_norms, without = (workload_of_subnet(architecture, SHAPE, layer_norm=kept) for kept in (True, False))
    residual = ("attention.output", "attention.contract")  # keep their norms, and had their biases before
    for own, other in zip(with_norms.stages, without.stages, strict=True):
        numbers = own.vectors * own.outputs
        normed = own.name.split(".")[-1].startswith("project")
        assert not (normed and own.name.endswith(residual))
        assert own.vector_operations - other.vector_operations == (5 - 1) * numbers * normed, own.name
        assert dataclasses.replace(own, vector_operations=0) == dataclasses.replace(other, vector_operations=0)
