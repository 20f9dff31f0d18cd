"""An operator is one file: one that is written here goes through everything without another file knowing of it.

B batch, I integers, F fields, D embedding width, d and n a block's widths, W and N the widest ones, c copies.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, mm_flop

from modules.operators import Choices, Inputs, InputShape, Layer, LayerNorm, Matrix, Operator, Read, Step
from modules.space import (
    NASREC_FULL,
    Architecture,
    canonical,
    live,
    multiply_accumulates,
    parameter_count,
    single_operator_any_connection,
)
from modules.space.plan import plan
from modules.space.sampling import SAMPLERS
from modules.supernet import OwnWeights, SlicedAdagrad, Subnet, Supernet, extract
from pim_codesign import Hardware, evaluate, workload_of_subnet
from pim_codesign import Mapping as ChipMapping
from pipeline.report.drawing.architecture_svg import draw_svg
from pipeline.report.drawing.terminal import draw_text

SHAPE = InputShape(5, 4, 8)


@dataclass(frozen=True)
class FieldGate(Operator):
    """LN(W [u ⊙ y_1 … u ⊙ y_c]), u = V x + b of the dense inputs, y the sparse inputs projected to c vectors."""

    copies: int = 2
    """Projected vectors c."""

    name = "field_gate"
    title = "Field gate"
    outline = "hexagon"
    branch = "dense"

    def width(self, block: Choices, shape: InputShape) -> int:
        return block.dense_width

    def reads(self, block: Choices) -> tuple[Read, ...]:
        dense = tuple(Read("dense", source) for source in block.dense_inputs)
        return dense + tuple(Read("sparse", source) for source in block.sparse_inputs)

    def steps(self, block: Choices, inputs: Inputs) -> tuple[Step, ...]:
        d, c, size = block.dense_width, self.copies, inputs.shape.embedding_width
        dense = tuple(read for read in self.reads(block) if read.side == "dense")
        sparse = tuple(read for read in self.reads(block) if read.side == "sparse")
        fields = Matrix(inputs.sparse_columns(block.sparse_inputs), c, vectors=size)
        gated = Matrix(((0, c * size),), d)
        return (
            Step("value", dense, Matrix(inputs.dense_columns(block.dense_inputs), size, bias=True)),
            Step("fields", sparse, fields, LayerNorm("norm_fields", c, size)),
            Step("project", ("value", "fields"), gated, LayerNorm("norm", d), products=c * size),
        )

    def network(self, block: Choices, inputs: Inputs, layers: Mapping[str, Layer]) -> nn.Module:
        return FieldGateNetwork(list(block.dense_inputs), list(block.sparse_inputs), dict(layers))


class FieldGateNetwork(nn.Module):
    def __init__(self, dense_inputs: list[int], sparse_inputs: list[int], layers: dict[str, Layer]) -> None:
        super().__init__()
        self.dense_inputs, self.sparse_inputs = dense_inputs, sparse_inputs
        self.value, self.fields, self.norm_fields = layers["value"], layers["fields"], layers["norm_fields"]
        self.project, self.norm = layers["project"], layers["norm"]

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        value = self.value([dense[i] for i in self.dense_inputs])  # [B, D]
        fields = self.norm_fields(self.fields([sparse[i] for i in self.sparse_inputs]))  # [B, D, c]
        return self.norm(self.project([(value.unsqueeze(2) * fields).flatten(1)]))


SPACE = dataclasses.replace(
    NASREC_FULL,
    name="toy",
    dense_operators=(*NASREC_FULL.dense_operators, FieldGate()),
    dense_widths=(4, 8, 16),
    sparse_widths=(2, 3, 6),
    num_blocks=3,
)
ALONE = dataclasses.replace(
    SPACE,
    name="alone",
    dense_operators=(FieldGate(3),),
    sparse_operators=NASREC_FULL.sparse_operators[:1],
    dense_to_sparse=None,
    sparse_to_dense=None,
)


def architectures(count: int) -> list[Architecture]:
    """Random ones that have the toy operator where it is live."""
    draws, found = numpy.random.default_rng(0), []
    while len(found) < count:
        drawn = single_operator_any_connection(SPACE, draws)
        if any(FieldGate() in alive.operators(b) for b, alive in zip(drawn.blocks, live(drawn), strict=True)):
            found.append(drawn)
    return found


def rows(count: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Dense [B, I] and sparse [B, F, D] in float64."""
    generator = torch.Generator().manual_seed(seed)
    dense = torch.rand(count, SHAPE.integers, generator=generator, dtype=torch.float64)
    size = (count, SHAPE.fields, SHAPE.embedding_width)
    return dense, torch.randn(*size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_it_is_sampled_checked_and_written(sampler: str) -> None:
    """Every sampler draws it; the space takes what is drawn; JSON and the canonical form keep it."""
    draws, drawn = numpy.random.default_rng(0), []
    for _ in range(20):
        architecture = SAMPLERS[sampler](SPACE, draws)
        SPACE.check_path(architecture)
        text = json.dumps(architecture.to_json())
        assert Architecture.from_json(json.loads(text), SPACE) == architecture
        assert canonical(canonical(architecture)) == canonical(architecture)
        drawn += [operator for block in architecture.blocks for operator in block.dense_operators]
    assert FieldGate() in drawn
    with pytest.raises(ValueError, match="field_gate"):
        Architecture.from_json(architectures(1)[0].to_json(), NASREC_FULL)


class Masked:
    """The networks of `ALONE` at full width: what a path does not have is zeros."""

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        self.parameters = parameters

    def __call__(self, dense: Tensor, sparse: Tensor, architecture: Architecture) -> Tensor:
        dense_outputs, sparse_outputs = [dense], [sparse.transpose(1, 2)]
        for number, block in enumerate(architecture.blocks):
            at = f"blocks.{number}"
            x, fields = self.joined(dense_outputs, block.dense_inputs), self.joined(sparse_outputs, block.sparse_inputs)
            gate, efc = f"{at}.dense.field_gate", f"{at}.sparse.efc"
            value = x @ self.parameters[f"{gate}.value.weight"].T + self.parameters[f"{gate}.value.bias"]
            chosen = self.normed(fields @ self.parameters[f"{gate}.fields.weight"].T, f"{gate}.norm_fields", 3)
            read = (value[:, :, None] * chosen).flatten(1) @ self.parameters[f"{gate}.project.weight"].T
            dense_outputs.append(self.normed(read, f"{gate}.norm", block.dense_width))
            own = fields @ self.parameters[f"{efc}.project.weight"].T
            sparse_outputs.append(self.normed(own, f"{efc}.norm", block.sparse_width).relu())
        features = torch.cat([dense_outputs[-1], sparse_outputs[-1].transpose(1, 2).flatten(1)], 1)
        return features @ self.parameters["head.weight"][0] + self.parameters["head.bias"]

    def joined(self, outputs: list[Tensor], chosen: tuple[int, ...]) -> Tensor:
        return torch.cat([x if index in chosen else torch.zeros_like(x) for index, x in enumerate(outputs)], -1)

    def normed(self, x: Tensor, name: str, width: int) -> Tensor:
        mask = (torch.arange(x.shape[-1]) < width).to(x)
        centred = (x - (x * mask).sum(-1, keepdim=True) / width) * mask
        deviation = (centred.square().sum(-1, keepdim=True) / width + 1e-5).sqrt()
        return (centred / deviation * self.parameters[f"{name}.weight"] + self.parameters[f"{name}.bias"]) * mask


def test_it_is_trained() -> None:
    """Logits, all gradients and Adagrad's steps on slices are those of the masked network at full width."""
    generator, draws = torch.Generator().manual_seed(0), numpy.random.default_rng(0)
    supernet = Supernet(ALONE, SHAPE, generator).double()
    twin = Supernet(ALONE, SHAPE, torch.Generator().manual_seed(0)).double()
    ours, theirs = supernet.parameters_by_name(), twin.parameters_by_name()
    sliced = SlicedAdagrad(ours, epsilon=1e-8, initial_square=0.1)
    full = torch.optim.Adagrad(theirs.values(), lr=0.05, initial_accumulator_value=0.1, eps=1e-8)
    masked = Masked(theirs)
    for step in range(20):
        architecture = single_operator_any_connection(ALONE, draws)
        dense, sparse = rows(6, seed=step)
        path, expected = supernet.path(architecture), masked(dense, sparse, architecture)
        logit = path.network(dense, sparse)
        assert torch.allclose(logit, expected, rtol=1e-9, atol=1e-9)
        full.zero_grad()
        for output in (logit, expected):
            nn.functional.binary_cross_entropy_with_logits(output, dense[:, 0]).backward()
        for name, parameter in theirs.items():
            found = torch.zeros_like(parameter)
            for part in (part for part in path.slices if part.name == name):
                found[part.index] = part.leaf.grad
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            assert torch.allclose(found, gradient, rtol=1e-8, atol=1e-9), name
        sliced.step(path.slices, learning_rate=0.05)
        full.step()
    moved = [float((ours[name] - before).abs().max()) for name, before in Supernet(
        ALONE, SHAPE, torch.Generator().manual_seed(0)).double().parameters_by_name().items()]  # fmt: skip
    assert min(moved) > 0
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-7, atol=1e-8) for name in ours)


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.slow
def test_it_is_extracted_scripted_and_counted(layer_norm: bool) -> None:
    """The supernet's logits are the extracted network's; scripted it is the same; counts are torch's and a walk's."""
    supernet = Supernet(SPACE, SHAPE, torch.Generator().manual_seed(0)).double()
    nn.init.normal_(supernet.get_parameter("widest.head.weight"), generator=torch.Generator().manual_seed(1))
    dense, sparse = rows(4)
    for seed, architecture in enumerate(architectures(5)):
        own = extract(supernet, architecture)
        logit = supernet(dense, sparse, architecture)
        assert logit.std() > 0
        assert torch.allclose(logit, own(dense, sparse), rtol=1e-12, atol=1e-12)
        weights = OwnWeights(torch.Generator().manual_seed(seed), layer_norm)
        network = Subnet(architecture, SHAPE, weights=weights).double()
        with torch.no_grad():
            scripted = torch.jit.script(network)(dense, sparse)
        assert torch.allclose(scripted, network(dense, sparse), rtol=1e-10, atol=1e-10)
        built = sum(parameter.numel() for parameter in network.parameters())
        assert parameter_count(architecture, SHAPE, layer_norm) == built
        assert sum(part.leaf.numel() for part in supernet.path(architecture).slices) == sum(
            parameter.numel() for parameter in own.parameters()
        )


def _products(*_: Any, out_val: Tensor, **__: Any) -> int:
    return 2 * out_val.numel() * out_val.is_floating_point()


_products._get_raw = True  # type: ignore[attr-defined]


def test_its_count_is_torchs() -> None:
    """Alone, its multiply-accumulates, elementwise ones included, are half of the FLOPs that torch's counter sees."""
    block = dataclasses.replace(ALONE.widest_block(1), dense_operators=(FieldGate(3),))
    architecture = Architecture((block, dataclasses.replace(ALONE.widest_block(2), left=0, right=0)))
    counted = {torch.ops.aten.addmm_: lambda _, a, b, **__: mm_flop(a, b), torch.ops.aten.mul: _products}
    network = Subnet(architecture, SHAPE).double()
    with FlopCounterMode(display=False, custom_mapping=counted) as counter, torch.no_grad():
        network(*rows(3))
    assert counter.get_total_flops() == 2 * 3 * multiply_accumulates(architecture, SHAPE)
    with pytest.raises(ValueError, match="the authors' code has no operator 'field_gate'"):
        multiply_accumulates(architecture, SHAPE, rule="reference")


def test_it_is_mapped_on_the_chip() -> None:
    """Each of its matrices is a stage of the real matrix' size, and the chip's cost is a finite number."""
    for architecture in architectures(5):
        workload = workload_of_subnet(architecture, SHAPE)
        index = {stage.name: number for number, stage in enumerate(workload.stages)}
        parameters = dict(Subnet(architecture, SHAPE).named_parameters())
        paths = [part.path for part in plan(architecture, SHAPE) if part.operator == FieldGate()]
        assert paths
        for path in paths:
            value, fields, project = (
                workload.stages[index[f"{path}.{name}"]] for name in ("value", "fields", "project")
            )
            for stage in (value, fields, project):
                assert (stage.outputs, stage.inputs) == tuple(parameters[f"{stage.name}.weight"].shape)
                assert stage.operator == path
            assert (value.vectors, fields.vectors, project.products) == (1, SHAPE.embedding_width, 16)
            assert set(project.depends) == {index[value.name], index[fields.name]}
            # a bias; a norm of c numbers for each of the D dimensions; a norm of d
            operations = [stage.vector_operations for stage in (value, fields, project)]
            assert operations == [8, 5 * 2 * 8, 5 * project.outputs]
        cost = evaluate(workload, Hardware(), ChipMapping.uniform(workload))
        assert 0 < cost.latency_us < 1e6 and 0 < cost.energy_nj < 1e9


def test_it_is_drawn() -> None:
    """Picture and terminal drawing call it by its title, in its outline, and join it to all that it reads."""
    for architecture in architectures(5):
        picture, text = draw_svg(architecture, SHAPE), draw_text(architecture, SHAPE)
        for number, (block, alive) in enumerate(zip(architecture.blocks, live(architecture), strict=True), start=1):
            if FieldGate() not in block.dense_operators:
                continue
            (box,) = re.findall(rf'<g class="operator" data-node="d{number}".*?</g>', picture)
            assert "Field" in box and "<path" in box and "<rect" not in box  # a hexagon
            wires = set(re.findall(rf'data-from="(\w+)" data-to="d{number}" data-role="input"', picture))
            read = {f"d{output}" for output in block.dense_inputs} | {f"s{output}" for output in block.sparse_inputs}
            assert wires == (read if alive.dense else set())
            assert "Field gate" in text
