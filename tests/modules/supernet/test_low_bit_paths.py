"""Paths with bits: the oracle of the open space, fake-quantized; extraction, scripting, siblings, and the state.

B batch, I integers, F fields, D embedding width.
"""

import copy
import dataclasses

import numpy
import pytest
import torch
from torch import nn

from modules.operators import FLOAT
from modules.operators.low_bit import INPUT_RANGE, UNSET
from modules.operators.precision import BITS, PRECISIONS, Precision
from modules.space import canonical, parameter_count, single_operator_any_connection
from modules.space.architecture import PRECISION_FIELDS
from modules.space.plan import plan
from modules.space.sampling import warmed_up
from modules.space.search_space import with_bits
from modules.supernet import Siblings, SlicedAdagrad, SlicedAdam, Supernet, common_slices, extract, sum_gradients
from tests.modules.operators.test_low_bit import quantized_product
from tests.modules.supernet.masked_open import MaskedOpen
from tests.modules.supernet.test_open import SHAPE, SMALL, close

SPACE = with_bits(SMALL)
NETWORKS = 80


class MaskedLowBit(MaskedOpen):
    """The oracle with every matrix of an operator with bits fake-quantized at full width.

    What it asks the engine for is which columns of a matrix are active: the largest weight of a row is among those.
    """

    def __init__(self, space, shape, parameters, slots):
        super().__init__(space, shape, parameters)
        self.slots = slots

    def __call__(self, dense, sparse, architecture):
        """The logit [B]."""
        self.architecture = architecture
        parts = plan(architecture, self.shape, self.slots)
        self.columns = {
            part.layer_path(step.name): step.matrix.columns for part in parts for step in part.steps if step.matrix
        }
        return super().__call__(dense, sparse, architecture)

    def layer(self, name, x, bias=False):
        """x Wᵀ (+ b), fake-quantized where the operator has bits."""
        path = f"{self.where}.{name}" if name else self.where
        precision = self.precision(path)
        if precision is FLOAT or path not in self.columns:
            return super().layer(name, x, bias)
        weight = self.parameter(name)
        active = torch.zeros_like(weight)
        for start, stop in self.columns[path]:
            active[:, start:stop] = 1
        shift = self.parameter(name, "bias") if bias else None
        clip = self.parameter(name, INPUT_RANGE)[BITS.index(precision.activation_bits)]
        return quantized_product(self.widened(x, weight.shape[1]), weight * active, shift, clip, precision)

    def precision(self, path):
        """The bits of the operator whose layer this is."""
        if not path.startswith("blocks."):
            return FLOAT
        _, number, branch, *_ = path.split(".")
        return getattr(self.architecture.blocks[int(number)].precision, branch)

    def bilinear_fusion(self):
        """The matrices of the heads act on parts of the right operand."""
        left, right, heads = self.narrow[self.block.left], self.narrow[self.block.right], self.operator.heads
        total = self.layer("left", left, bias=True) + self.layer("right", right)
        for head, (x, y) in enumerate(zip(left.tensor_split(heads, 1), right.tensor_split(heads, 1), strict=True)):
            if x.shape[1] and y.shape[1]:
                total = total + (x * self.layer(f"heads.{head}.project", y)[:, : x.shape[1]]).sum(1)[:, None]
        return total

    def compressed_interaction(self):
        """The matrix acts on the joined sparse inputs: row h · m + t is of output h and the stem's vector t."""
        n, vectors = self.block.sparse_width, self.stem.shape[2]
        each = self.layer("project", self.sparse_inputs())[:, :, : n * vectors].unflatten(2, (n, vectors))
        return self.ending(torch.einsum("bdht,bdt->bdh", each, self.stem))


@pytest.fixture(scope="module")
def supernet():
    """With random biases, norms and head, and clips that some inputs exceed."""
    generator = torch.Generator().manual_seed(0)
    made = Supernet(SPACE, SHAPE, generator).double().eval()
    for name, parameter in made.named_parameters():
        if name.endswith(INPUT_RANGE):
            nn.init.uniform_(parameter, -1, 2, generator=generator)
        elif parameter.dim() == 1:
            nn.init.normal_(parameter, generator=generator)
    return made


@pytest.fixture(scope="module")
def architectures():
    """The random networks."""
    draws = numpy.random.default_rng(0)
    return [single_operator_any_connection(SPACE, draws) for _ in range(NETWORKS)]


@pytest.fixture(scope="module")
def rows():
    """Dense [B, I] and sparse [B, F, D]."""
    generator = torch.Generator().manual_seed(1)
    dense = torch.randn(3, SHAPE.integers, generator=generator, dtype=torch.float64)
    return dense, torch.randn(3, SHAPE.fields, SHAPE.embedding_width, generator=generator, dtype=torch.float64)


def gathered(path, parameters):
    """Gradients of a path's slices in their places."""
    found = {name: torch.zeros_like(parameters[name]) for name in {part.name for part in path.slices}}
    for part in path.slices:
        if part.leaf.grad is not None:
            found[part.name][part.index] = part.leaf.grad
    return found


@pytest.mark.slow
def test_it_is_the_masked_fake_quantized_oracle(supernet, architectures, rows):
    """Logits and all gradients in float64: of weights straight through, of clips, zeros where no slice is."""
    parameters = supernet.parameters_by_name()
    masked = MaskedLowBit(SPACE, SHAPE, parameters, supernet.slots)
    clips = 0
    for architecture in architectures:
        path = supernet.path(architecture)
        ours, theirs = path.network(*rows), masked(*rows, architecture)
        close(ours, theirs, 1e-10)
        ours.sum().backward()
        gradients = torch.autograd.grad(theirs.sum(), list(parameters.values()), allow_unused=True)
        found = gathered(path, parameters)
        for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
            zeros = torch.zeros_like(parameter)
            close(found.get(name, zeros), zeros if gradient is None else gradient, 1e-9)
            clips += name.endswith(INPUT_RANGE) and name in found
    assert clips > 5 * NETWORKS
    drawn = {block.precision.of(branch) for one in architectures for block in one.blocks for branch in PRECISION_FIELDS}
    assert drawn == {FLOAT, *PRECISIONS}


@pytest.mark.slow
def test_extracted_and_scripted_equal_the_supernet(supernet, architectures, rows):
    """Logits and gradients to 1e-12, the script's logits too; the extracted network has exactly the slices."""
    for number, architecture in enumerate(architectures):
        path, own = supernet.path(architecture), extract(supernet, architecture).eval()
        ours, theirs = path.network(*rows), own(*rows)
        close(ours, theirs)
        ours.sum().backward()
        theirs.sum().backward()
        slices = {}
        for part in path.slices:
            slices.setdefault(part.name, []).append(part.leaf.grad)
        for name, parameter in own.named_parameters():
            close(torch.cat(slices.pop(name), dim=-1), parameter.grad)
        assert not slices
        assert parameter_count(architecture, SHAPE) == sum(parameter.numel() for parameter in own.parameters())
        if number % 15 == 0:
            with torch.no_grad():
                close(torch.jit.script(own)(*rows), theirs)


def test_siblings_tell_bits_apart(supernet, architectures, rows):
    """Networks that differ in bits alone are computed together, each as alone; what they have in common once."""
    base = max(architectures, key=lambda one: len(canonical(one).blocks))
    last = base.blocks[-1]
    precision = dataclasses.replace(last.precision, dense=Precision(4, 4), sparse=Precision(4, 4))
    other = dataclasses.replace(base, blocks=(*base.blocks[:-1], dataclasses.replace(last, precision=precision)))
    pair = [base, other, base]
    networks = [extract(supernet, one).eval() for one in pair]
    together = Siblings(supernet, pair, networks)
    with torch.inference_mode():
        for network, features in zip(networks, together.features(*rows), strict=True):
            assert torch.equal(features, network.features(*rows))
    assert together.multiply_accumulates < together.separate_multiply_accumulates / 1.5


def test_all_float_networks_are_those_of_the_float_space(supernet, rows):
    """Bit for bit: an architecture without bits in a supernet with bits, and in one without, and their gradients."""
    plain = Supernet(SMALL, SHAPE).double().eval()
    weights = supernet.parameters_by_name()
    with torch.no_grad():
        for name, parameter in plain.parameters_by_name().items():
            parameter.copy_(weights[name])
    assert set(weights) - set(plain.parameters_by_name()) == {name for name in weights if name.endswith(INPUT_RANGE)}
    draws = numpy.random.default_rng(4)
    for _ in range(10):
        architecture = single_operator_any_connection(SMALL, draws)
        one, other = supernet.path(architecture), plain.path(architecture)
        ours, theirs = one.network(*rows), other.network(*rows)
        assert torch.equal(ours, theirs)
        ours.sum().backward()
        theirs.sum().backward()
        assert all(torch.equal(a.leaf.grad, b.leaf.grad) for a, b in zip(one.slices, other.slices, strict=True))


@pytest.mark.parametrize("optimizer", [SlicedAdagrad, SlicedAdam])
def test_a_step_moves_the_clips_of_its_bits_alone(optimizer, rows):
    """Also where several paths share a step: clips of other bits and other matrices stay unset."""
    supernet = Supernet(SPACE, SHAPE, torch.Generator().manual_seed(0)).double()
    parameters = supernet.parameters_by_name()
    draws, own = numpy.random.default_rng(1), optimizer(parameters)
    for _ in range(8):
        before = copy.deepcopy({name: one.detach() for name, one in parameters.items()})
        paths = [supernet.path(single_operator_any_connection(SPACE, draws)) for _ in range(2)]
        common = common_slices(paths, parameters)
        for path in paths:
            path.network(*rows).square().sum().backward()
        sum_gradients(paths, common)
        own.step(common, 0.05)
        held = {(part.name, part.index[0].start) for path in paths for part in path.slices if INPUT_RANGE in part.name}
        for name, parameter in parameters.items():
            for place in range(len(BITS)) if name.endswith(INPUT_RANGE) else ():
                if (name, place) not in held:
                    assert parameter[place] == before[name][place], name
                else:
                    assert parameter[place] > UNSET / 2


def test_the_warm_up_is_in_floating_point():
    """Until it ends no path has bits; the draws after it do."""
    draws = numpy.random.default_rng(0)
    early = [warmed_up(single_operator_any_connection, 9, 10)(SPACE, draws) for _ in range(10)]
    late = [warmed_up(single_operator_any_connection, 10, 10)(SPACE, draws) for _ in range(10)]
    assert all(one.is_float for one in early)
    assert not any(one.is_float for one in late)
