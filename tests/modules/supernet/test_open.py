"""Random networks of the open space: everything downstream holds for every one of them.

B batch, I integers, F fields, D embedding width.
"""

import dataclasses
import re

import numpy
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from modules.operators import Stem
from modules.space import OPEN, InputShape, multiply_accumulates, parameter_count, single_operator_any_connection
from modules.supernet import Subnet, Supernet, extract
from pim_codesign import Hardware, Mapping, evaluate, workload_of_subnet
from tests.modules.operators.checks import EACH_PAIR_ONCE
from tests.modules.supernet.masked_open import MaskedOpen

SMALL = dataclasses.replace(
    OPEN,
    name="small_open",
    dense_widths=(4, 8, 16),
    sparse_widths=(2, 3, 6),
    num_blocks=4,
    stems=(Stem(), Stem((), 1), Stem((), 2, "none"), Stem((5, 3), 2, "none"), Stem((7,), 3, "silu")),
)
"""`open` with small widths; operators and options are all of them."""
SHAPE = InputShape(3, 4, 8)
NETWORKS = 200


@pytest.fixture(scope="module")
def supernet():
    """With random biases, norms and head, so that every parameter has an effect."""
    generator = torch.Generator().manual_seed(0)
    made = Supernet(SMALL, SHAPE, generator).double().eval()
    for parameter in made.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, generator=generator)
    return made


@pytest.fixture(scope="module")
def architectures():
    """The random networks."""
    draws = numpy.random.default_rng(0)
    return [single_operator_any_connection(SMALL, draws) for _ in range(NETWORKS)]


@pytest.fixture(scope="module")
def rows():
    """Dense [B, I] and sparse [B, F, D]."""
    generator = torch.Generator().manual_seed(1)
    dense = torch.randn(3, SHAPE.integers, generator=generator, dtype=torch.float64)
    size = (3, SHAPE.fields, SHAPE.embedding_width)
    return dense, torch.randn(*size, generator=generator, dtype=torch.float64)


def close(ours, theirs, digits=1e-12):
    """Equal to rounding, relative to the largest number."""
    scale = 1 + float(theirs.detach().abs().max())
    assert torch.allclose(ours, theirs, rtol=0, atol=digits * scale)


def test_the_networks_have_every_operator_and_every_option(architectures):
    """Every choice of the space is drawn at least once and is then built: no test below passes by leaving it out."""
    blocks = [block for architecture in architectures for block in architecture.blocks]
    drawn = {operator for block in blocks for operator in block.dense_operators + block.sparse_operators}
    for operator in (*SMALL.dense_operators, *SMALL.sparse_operators):
        own = [other for other in drawn if other.name == operator.name]
        for name, values in operator.options.items():
            assert {getattr(other, name) for other in own} == set(values), (operator, name)
    assert {architecture.stem for architecture in architectures} == set(SMALL.stems)
    assert {len(architecture.blocks) for architecture in architectures} == set(SMALL.depths)


@pytest.mark.slow
def test_sliced_equals_the_masked_oracle(supernet, architectures, rows):
    """Logits and all gradients, zeros where no slice is; together the networks use every kind of parameter."""
    parameters = supernet.parameters_by_name()
    masked = MaskedOpen(SMALL, SHAPE, parameters)
    for architecture in architectures:
        path = supernet.path(architecture)
        ours, theirs = path.network(*rows), masked(*rows, architecture)
        close(ours, theirs, 1e-11)
        ours.sum().backward()
        gradients = torch.autograd.grad(theirs.sum(), list(parameters.values()), allow_unused=True)
        expected = dict(zip(parameters, gradients, strict=True))
        found = {name: torch.zeros_like(parameters[name]) for name in {part.name for part in path.slices}}
        for part in path.slices:
            assert part.leaf.grad is not None, f"{part.name} is built, but reaches no logit"
            found[part.name][part.index] = part.leaf.grad
        for name, gradient in expected.items():
            if gradient is not None or name in found:
                zeros = torch.zeros_like(parameters[name])
                close(found.get(name, zeros), zeros if gradient is None else gradient, 1e-10)
    assert {re.sub(r"\d+", "N", name) for name in parameters} == {re.sub(r"\d+", "N", name) for name in masked.used}


@pytest.mark.slow
def test_extracted_equals_the_supernet(supernet, architectures, rows):
    """Logits and gradients to 1e-12; the extracted network has the slices' numbers of parameters and no other."""
    for architecture in architectures:
        path, own = supernet.path(architecture), extract(supernet, architecture).eval()
        ours, theirs = path.network(*rows), own(*rows)
        close(ours, theirs)
        ours.sum().backward()
        theirs.sum().backward()
        gathered = {}
        for part in path.slices:
            gathered.setdefault(part.name, []).append(part.leaf.grad)
        for name, parameter in own.named_parameters():
            close(torch.cat(gathered.pop(name), dim=-1), parameter.grad)
        assert not gathered
        assert parameter_count(architecture, SHAPE) == sum(parameter.numel() for parameter in own.parameters())


def test_scripted_equals_eager(supernet, architectures, rows):
    """torch.jit.script takes the networks (a fifth of them) and computes the same."""
    for architecture in architectures[:: NETWORKS // 40]:
        own = extract(supernet, architecture).eval()
        scripted = torch.jit.script(own)
        with torch.no_grad():
            for _ in range(3):  # TorchScript optimizes from the second call on
                close(scripted(*rows), own(*rows))


WIDE = InputShape(3, 4, 32)
"""Heads at least 4 wide: attention is torch's own."""


@pytest.mark.slow
def test_counts_are_those_torch_runs(architectures):
    """Multiply-accumulates, elementwise ones included, are half of the operations that torch's counter sees."""
    dense, sparse = torch.rand(2, WIDE.integers), torch.rand(2, WIDE.fields, WIDE.embedding_width)
    for architecture in architectures:
        network = Subnet(architecture, WIDE).eval()
        with FlopCounterMode(display=False, custom_mapping=EACH_PAIR_ONCE) as counter, torch.no_grad():
            network(dense, sparse)
        assert counter.get_total_flops() == 2 * 2 * multiply_accumulates(architecture, WIDE), architecture


def test_it_is_mapped_on_the_chip(architectures):
    """Every matrix of the network is a stage of its size, nothing else is, and the chip's cost is a finite number."""
    for architecture in architectures:
        workload = workload_of_subnet(architecture, SHAPE)
        assert workload.multiply_accumulates == multiply_accumulates(architecture, SHAPE)
        stages = {f"{stage.name}.weight": (stage.outputs, stage.inputs) for stage in workload.stages if stage.inputs}
        parameters = dict(Subnet(architecture, SHAPE).named_parameters())
        assert stages == {name: tuple(matrix.shape) for name, matrix in parameters.items() if matrix.dim() == 2}
        cost = evaluate(workload, Hardware(), Mapping.uniform(workload))
        assert 0 < cost.latency_us < 1e6 and 0 < cost.energy_nj < 1e9
