"""What a baseline is: its description against its real network, and the pieces that descriptions are made of."""

import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from modules.baselines import BASELINES, DLRM, DLRMDCN, Baseline, DeepFM
from modules.baselines.baseline import STEM, check_layer_sizes, perceptron
from modules.operators import InputShape, check_steps

SHAPES = [InputShape(13, 26, 16), InputShape(1, 3, 4), InputShape(5, 1, 6)]
ALL = [*BASELINES.values(), DLRM((5,), (7,)), DLRMDCN((), (7, 3), 2, 3), DeepFM(5, (7, 6), crossing="all_pairs")]


@pytest.mark.parametrize("baseline", ALL, ids=lambda baseline: baseline.title)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_weight_of_the_network_is_described(baseline: Baseline, shape: InputShape) -> None:
    """Matrices by path and shape, and all parameters together, are those of the built network."""
    network = baseline.build(shape, torch.Generator().manual_seed(0))
    matrices = {
        name.removesuffix(".weight"): tuple(parameter.shape)
        for name, parameter in network.named_parameters()
        if parameter.dim() > 1
    }
    described = {s.name: (s.matrix.outputs, s.matrix.inputs) for s in baseline.steps(shape) if s.matrix}
    assert described == matrices
    assert baseline.parameter_count(shape) == sum(parameter.numel() for parameter in network.parameters())
    check_steps(baseline.title, baseline.steps(shape), STEM)


def _pairs(left: torch.Size, right: torch.Size, **_: object) -> int:
    """DLRM multiplies all vectors with all, and reads each pair once."""
    batch, count, width = left
    return 2 * batch * width * (count * (count - 1) // 2)


def _elementwise(*_: object, out_shape: torch.Size, **__: object) -> int:
    return 2 * math.prod(out_shape)


ATEN = torch.ops.aten
COUNTED_OTHERWISE = {ATEN.bmm: _pairs, ATEN.mul: _elementwise, ATEN.pow: _elementwise}


@pytest.mark.parametrize("baseline", ALL, ids=lambda baseline: baseline.title)
@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_those_torch_runs(baseline: Baseline, shape: InputShape) -> None:
    """Multiply-accumulates per row, squares and crosses included, are half of the FLOPs that torch's counter sees."""
    network, batch = baseline.build(shape, torch.Generator().manual_seed(0)), 8
    with FlopCounterMode(display=False, custom_mapping=COUNTED_OTHERWISE) as counter:
        network(torch.randn(batch, shape.integers), torch.randn(batch, shape.fields, shape.embedding_width))
    counted = baseline.multiply_accumulates(shape)
    if isinstance(baseline, DeepFM):
        halved = shape.embedding_width if baseline.crossing == "same_position" else 1
        counted += halved  # torchrec halves the machine's result by a product
    assert counter.get_total_flops() == 2 * batch * counted


def test_hand_counts() -> None:
    """Small models counted on paper: I = 2, F = 3, D = 4, so N = 16."""
    shape = InputShape(2, 3, 4)
    dlrm = DLRM((5,), (7,))
    over_inputs = 4 + 6  # the dense vector and the pairs of 4 vectors
    assert dlrm.multiply_accumulates(shape) == (2 * 5 + 5 * 4) + 6 * 4 + (over_inputs * 7 + 7)
    assert dlrm.parameter_count(shape) == (2 * 5 + 5 + 5 * 4 + 4) + (over_inputs * 7 + 7 + 7 + 1)
    dcn = DLRMDCN((5,), (7,), cross_layers=2, cross_rank=3)
    assert dcn.multiply_accumulates(shape) == (2 * 5 + 5 * 4) + 2 * (2 * 16 * 3 + 16) + (16 * 7 + 7)
    assert dcn.parameter_count(shape) == (2 * 5 + 5 + 5 * 4 + 4) + 2 * (2 * 16 * 3 + 16) + (16 * 7 + 7 + 7 + 1)
    matrices = (2 * 5 + 5 * 4) + (16 * 7 + 7 * 6) + (4 + 6 + 1)
    deepfm = DeepFM(5, (7, 6), crossing="all_pairs")
    assert deepfm.multiply_accumulates(shape) == matrices + 16 + 1
    assert deepfm.parameter_count(shape) == (2 * 5 + 5 + 5 * 4 + 4) + (16 * 7 + 7 + 7 * 6 + 6) + (4 + 6 + 1 + 1)
    papers = DeepFM(5, (7, 6), crossing="same_position")
    assert papers.multiply_accumulates(shape) == matrices + 16 + 4
    assert papers.parameter_count(shape) == deepfm.parameter_count(shape)


@pytest.mark.parametrize("part", ["title", "build", "steps"])
def test_a_baseline_that_forgets_a_part_cannot_be_constructed(part: str) -> None:
    """Every part is asked for by name."""
    given = {name: getattr(DLRM, name) for name in ("title", "build", "steps") if name != part}
    with pytest.raises(TypeError, match=part):
        type("Forgetful", (Baseline,), given)()


@pytest.mark.parametrize("sizes", [(3,), (3, 1), (4, 7, 2, 5)])
def test_a_perceptron_is_described_as_torch_builds_it(sizes: tuple[int, ...]) -> None:
    """Each linear layer with its bias is one step, which waits for the one before; the first for what is given."""
    layers = {f"layer_{n}": nn.Linear(sizes[n], sizes[n + 1]) for n in range(len(sizes) - 1)}
    steps = list(perceptron(list(layers), sizes, STEM))
    assert [step.name for step in steps] == list(layers)
    assert [step.waits_for for step in steps] == [STEM, *((name,) for name in layers)][: len(steps)]
    for step, layer in zip(steps, layers.values(), strict=True):
        assert (step.matrix.outputs, step.matrix.inputs) == tuple(layer.weight.shape)
        assert step.parameters() == sum(parameter.numel() for parameter in layer.parameters())
        assert step.elementwise_operations == layer.out_features


def test_a_perceptron_has_a_name_for_every_layer() -> None:
    """Names and sizes that do not fit are an error, not a shorter network."""
    for names in (["a"], ["a", "b", "c"]):
        with pytest.raises(ValueError):
            list(perceptron(names, (3, 5, 1), STEM))


@pytest.mark.parametrize(("sizes", "allowed"), [((), True), ((1,), True), ((8, 1, 3), True), ((8, 0), False)])
def test_layers_have_units(sizes: tuple[int, ...], allowed: bool) -> None:
    """No layer is a possible choice, a layer without units is none: it is named with its field."""
    if allowed:
        check_layer_sizes("Own.layers", sizes)
    else:
        with pytest.raises(ValueError, match=r"Own\.layers is \(8, 0\)"):
            check_layer_sizes("Own.layers", sizes)
