"""Fake quantization of real models against a float64 oracle."""

import copy
from collections.abc import Callable

import numpy
import pytest
import torch
from torch import Tensor, nn

from modules.space import NASREC_FULL, Architecture, InputShape, single_operator_any_connection
from modules.space.handmade import HANDMADE, handmade
from modules.supernet import Subnet
from pim_codesign import Calibration, calibrate, quantize, workload_of_subnet
from pim_codesign.functional.quantize import QuantizedLinear

SHAPE = InputShape(13, 26, 16)


def rows(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Inputs in float64."""
    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(count, SHAPE.integers, dtype=torch.float64, generator=generator)
    return dense, torch.randn(count, SHAPE.fields, SHAPE.embedding_width, dtype=torch.float64, generator=generator)


def network(architecture: Architecture, seed: int = 0) -> tuple[nn.Module, tuple[str, ...]]:
    """A network with random weights, and its operators."""
    model = Subnet(architecture, SHAPE, torch.Generator().manual_seed(seed)).double()
    return model, workload_of_subnet(architecture, SHAPE).operators


def sampled(seed: int) -> tuple[nn.Module, tuple[str, ...]]:
    """A random network."""
    return network(single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(seed)), seed)


MODELS: list[Callable[[], tuple[nn.Module, tuple[str, ...]]]] = [
    *(lambda seed=seed: sampled(seed) for seed in range(3)),  # type: ignore[misc]
    *(lambda name=name: network(handmade(name, SHAPE)) for name in HANDMADE),  # type: ignore[misc]
]


def oracle(x: numpy.ndarray, weight: numpy.ndarray, bits: tuple[int, int], largest: float) -> numpy.ndarray:
    """Integers times integers, one number at a time as docs/reram.md has it, in float64."""
    weight_levels, levels = 2 ** (bits[0] - 1) - 1, 2 ** (bits[1] - 1) - 1
    step = largest / levels
    integers = numpy.clip(numpy.rint(x / step), -levels, levels).astype(numpy.int64)
    result = numpy.empty((len(x), len(weight)))
    for channel, row in enumerate(weight):
        channel_step = max(abs(row.min()), abs(row.max())) / weight_levels
        row_integers = numpy.rint(row / channel_step).astype(numpy.int64)
        for sample, vector in enumerate(integers):
            result[sample, channel] = int((vector * row_integers).sum()) * step * channel_step
    return result


@pytest.mark.parametrize("bits", [(8, 8), (4, 6), (6, 4)])
def test_a_layer_is_the_integer_product(bits: tuple[int, int]) -> None:
    """A quantized layer is an exact product of integers, scaled: what lossless crossbars compute."""
    generator = torch.Generator().manual_seed(1)
    layer = nn.Linear(30, 7, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.normal_(generator=generator)
        layer.weight[3] = 0  # a dead channel stays dead
        layer.weight[3, 0] = 1e-9
    x = torch.randn(20, 30, dtype=torch.float64, generator=generator)
    quantized = QuantizedLinear(layer, *bits, largest=2.5)
    with torch.no_grad():
        found = (quantized(x) - layer.bias).numpy()
        several = quantized([x[:, :10], x[:, 10:]]) - layer.bias
    expected = oracle(x.numpy(), layer.weight.detach().numpy(), bits, 2.5)
    numpy.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    assert torch.equal(several, torch.from_numpy(found))


@pytest.mark.parametrize("build", MODELS)
@pytest.mark.slow
def test_every_matrix_gets_its_operators_bits(build: Callable[[], tuple[nn.Module, tuple[str, ...]]]) -> None:
    """Each layer of the quantized model computes the oracle at its own operator's bits; the model is unchanged."""
    model, operators = build()
    before = copy.deepcopy(model.state_dict())
    choices = [(8, 8), (4, 8), (8, 4), (6, 6)]
    bits = {name: choices[index % len(choices)] for index, name in enumerate(operators)}
    calibration = calibrate(model, *rows(64))
    quantized = quantize(model, bits, calibration)
    checked = []
    for name, layer in quantized.named_modules():
        if isinstance(layer, QuantizedLinear):
            operator = next(
                o for o in sorted(operators, key=len, reverse=True) if name == o or name.startswith(o + ".")
            )

            def check(module: QuantizedLinear, inputs: tuple, output: Tensor, n: str = name, o: str = operator) -> None:
                x = inputs[0] if isinstance(inputs[0], Tensor) else torch.cat(inputs[0], dim=-1)
                flat, bias = x.reshape(-1, x.shape[-1])[:3], 0 if module.bias is None else module.bias
                expected = oracle(
                    flat.numpy(), module.weight.detach().numpy(), bits[o], calibration.range(n, bits[o][1])
                )
                actual = (output - bias).reshape(-1, output.shape[-1])[:3]
                numpy.testing.assert_allclose(actual.detach().numpy(), expected, rtol=1e-9, atol=1e-9)
                checked.append(n)

            layer.register_forward_hook(check)
    with torch.no_grad():
        quantized(*rows(2, seed=1))
    assert len(checked) == sum(1 for p in model.parameters() if p.dim() == 2)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(isinstance(module, QuantizedLinear) for module in model.modules())


@pytest.mark.parametrize("build", MODELS)
@pytest.mark.slow
def test_many_bits_are_the_float_model(build: Callable[[], tuple[nn.Module, tuple[str, ...]]]) -> None:
    """At 16 bits, unclipped, the logits are the float model's to a few thousandths of their spread; 8 bits are near."""
    model, operators = build()
    dense, sparse = rows(200)
    with torch.no_grad():
        logits = model(dense, sparse)
        errors = []
        for width in (16, 8, 4):
            quantized = quantize(model, dict.fromkeys(operators, (width, width)), (dense, sparse))
            errors.append(((quantized(dense, sparse) - logits).std() / logits.std()).item())
    assert errors[0] < 0.005
    assert errors[0] < errors[1] < errors[2]
    assert errors[1] < 0.25


def test_gradients_go_straight_through() -> None:
    """A weight's gradient is the quantized input; an input's is the quantized weight, 0 where it was clipped."""
    layer = nn.Linear(3, 1, bias=False)
    quantized = QuantizedLinear(layer, 4, 4, largest=1.0)
    x = torch.tensor([[0.3, -0.8, 5.0]], requires_grad=True)
    quantized(x).sum().backward()
    with torch.no_grad():
        weight = quantized(torch.eye(3)).flatten()
    assert x.grad is not None and layer.weight.grad is not None
    assert torch.allclose(x.grad, weight * torch.tensor([[1.0, 1.0, 0.0]]))
    assert torch.allclose(layer.weight.grad, torch.tensor([[2 / 7, -6 / 7, 1.0]]))


def test_bits_must_fit_the_model() -> None:
    """A matrix without bits, an operator without a matrix and uncalibrated bits are named."""
    model, operators = network(handmade("dlrm", SHAPE))
    calibration = calibrate(model, *rows(8))
    bits = dict.fromkeys(operators, (8, 8))
    with pytest.raises(ValueError, match="no bits for the matrix"):
        quantize(model, {name: bits[name] for name in operators[1:]}, calibration)
    with pytest.raises(ValueError, match="ghost"):
        quantize(model, bits | {"ghost": (8, 8)}, calibration)
    with pytest.raises(ValueError, match="at 5 activation bits"):
        quantize(model, bits | {operators[0]: (8, 5)}, calibration)
    with pytest.raises(ValueError, match="no calibration"):
        quantize(model, bits, Calibration({}))
