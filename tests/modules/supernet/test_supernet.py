"""The supernet: a sub-network is a view of it, the same function as its extraction, and costs only itself."""

import dataclasses

import numpy
import pytest
import torch

from modules.operators import NO_STEM, Head, WideFullyConnected
from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    OPEN,
    Architecture,
    InputShape,
    any_path,
    full_path,
    parameter_count,
    single_operator_any_connection,
    single_path,
)
from modules.supernet import Supernet, common_slices, extract, sum_gradients

SHAPE = InputShape(13, 26, 16)
RANDOM_ARCHITECTURES = 80


@pytest.mark.parametrize("space", [NASREC_SMALL, NASREC_FULL], ids=lambda space: space.name)
@pytest.mark.slow
def test_supernet_equals_extracted_network(space):
    """80 random architectures: outputs and gradients of supernet and extracted network agree to 1e-12 in float64."""
    generator = torch.Generator().manual_seed(0)
    supernet = Supernet(space, SHAPE, generator).double()
    draws = numpy.random.default_rng(0)
    for _ in range(RANDOM_ARCHITECTURES):
        assert_same(supernet, single_operator_any_connection(space, draws), generator)


@pytest.mark.parametrize(("sampler", "paths"), [(single_path, 3), (any_path, 3), (full_path, 1)])
@pytest.mark.slow
def test_other_paths_equal_extracted_networks(sampler, paths):
    """The same for the paths that only training takes: several operators a block, all inputs."""
    generator = torch.Generator().manual_seed(0)
    supernet = Supernet(NASREC_FULL, SHAPE, generator).double()
    draws = numpy.random.default_rng(1)
    for _ in range(paths):  # full paths differ in two inputs a block only
        assert_same(supernet, sampler(NASREC_FULL, draws), generator)


@pytest.mark.parametrize("shape", [InputShape(1, 10, 10), InputShape(2000, 3, 4)], ids=["frappe-like", "wide"])
@pytest.mark.slow
def test_other_input_shapes(shape):
    """One dense input, a width that 8 heads do not divide, and more dense inputs than the widest output."""
    generator = torch.Generator().manual_seed(0)
    supernet = Supernet(NASREC_FULL, shape, generator).double()
    draws = numpy.random.default_rng(2)
    for _ in range(5):
        assert_same(supernet, single_operator_any_connection(NASREC_FULL, draws), generator)


def test_dropout_follows_the_supernets_mode():
    """Paths of a supernet in evaluation drop nothing; in training two forward passes differ."""
    fc = WideFullyConnected(dropout=0.5)
    block = dataclasses.replace(OPEN.widest_block(1), dense_operators=(fc,), sparse_operators=OPEN.sparse_operators[:1])
    shape = InputShape(3, 4, 8)
    architecture = Architecture((block,), NO_STEM, Head((1,), ()))
    supernet = Supernet(dataclasses.replace(OPEN, num_blocks=1), shape, torch.Generator().manual_seed(0))
    torch.nn.init.ones_(supernet.get_parameter("widest.head.weight"))
    dense, sparse = torch.rand(5, 3), torch.rand(5, 4, 8)
    torch.manual_seed(0)
    for network in (supernet.path(architecture).network, lambda *rows: supernet(*rows, architecture)):
        assert not torch.equal(network(dense, sparse), network(dense, sparse))
    supernet.eval()
    for network in (supernet.path(architecture).network, lambda *rows: supernet(*rows, architecture)):
        assert torch.equal(network(dense, sparse), network(dense, sparse))


def assert_same(supernet, architecture, generator, rows=4, tolerance=1e-12):
    """Outputs, input gradients and weight gradients of the supernet's path and of the extracted network agree."""
    shape = supernet.shape
    dense = torch.rand(rows, shape.integers, generator=generator, dtype=torch.float64).requires_grad_()
    sparse = torch.randn(rows, shape.fields, shape.embedding_width, generator=generator, dtype=torch.float64)
    sparse.requires_grad_()
    path, subnet = supernet.path(architecture), extract(supernet, architecture)
    outcomes = []
    for network in (path.network, subnet):
        dense.grad = sparse.grad = None
        logit = network(dense, sparse)
        logit.square().sum().backward()
        outcomes.append([logit, dense.grad, sparse.grad])
    plain = supernet(dense, sparse, architecture)
    assert torch.allclose(plain, outcomes[0][0], rtol=tolerance, atol=tolerance)
    for ours, theirs in zip(*outcomes, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or torch.allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    sliced: dict[str, list[torch.Tensor]] = {}
    for part in path.slices:
        assert part.leaf.grad is not None, part.name  # dead parts are not there at all
        sliced.setdefault(part.name, []).append(part.leaf.grad)
    for name, parameter in subnet.named_parameters():
        scale = max(1.0, float(parameter.grad.abs().max()))
        assert torch.allclose(torch.cat(sliced.pop(name), -1), parameter.grad, rtol=tolerance, atol=tolerance * scale)
    assert not sliced


@pytest.mark.slow
def test_gradients_reach_only_active_slices():
    """Plain autograd through `forward`: each parameter's gradient is the path's slices, zero everywhere else."""
    generator = torch.Generator().manual_seed(3)
    shape = InputShape(3, 4, 8)
    supernet = Supernet(NASREC_FULL, shape, generator).double()
    dense, sparse = (torch.rand(*size, generator=generator, dtype=torch.float64) for size in ((5, 3), (5, 4, 8)))
    for seed in range(5):
        architecture = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(seed))
        supernet.zero_grad()
        supernet(dense, sparse, architecture).sum().backward()
        path = supernet.path(architecture)
        path.network(dense, sparse).sum().backward()
        expected = {name: torch.zeros_like(parameter) for name, parameter in supernet.parameters_by_name().items()}
        for part in path.slices:
            expected[part.name][part.index] += part.leaf.grad
        for name, parameter in supernet.parameters_by_name().items():
            found = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
            assert torch.allclose(found, expected[name], rtol=1e-12, atol=1e-12), name


def test_slices_are_views_and_hold_the_subnets_parameters():
    """A path copies no weight: every leaf lies in its parameter's memory, and together they are the sub-network's."""
    supernet = Supernet(NASREC_FULL, SHAPE, torch.Generator().manual_seed(0))
    parameters = supernet.parameters_by_name()
    for seed in range(10):
        architecture = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(seed))
        slices = supernet.path(architecture).slices
        for part in slices:
            assert part.leaf.untyped_storage().data_ptr() == parameters[part.name].untyped_storage().data_ptr()
            assert torch.equal(part.leaf, parameters[part.name][part.index])
        assert sum(part.leaf.numel() for part in slices) == parameter_count(architecture, SHAPE)


@pytest.mark.parametrize("sampler", [single_operator_any_connection, any_path])
@pytest.mark.slow
def test_common_slices_hold_the_sum_of_several_paths(sampler):
    """Disjoint rectangles that share the parameters' memory; their gradients are the sum over the paths, each once."""
    supernet = Supernet(NASREC_FULL, InputShape(3, 4, 8), torch.Generator().manual_seed(0)).double()
    parameters, draws = supernet.parameters_by_name(), numpy.random.default_rng(5)
    paths = [supernet.path(sampler(NASREC_FULL, draws)) for _ in range(3)]
    common = common_slices(paths, parameters)
    generator = torch.Generator().manual_seed(1)
    expected = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    for part in (part for path in paths for part in path.slices):
        part.leaf.grad = torch.randn(part.leaf.shape, generator=generator, dtype=torch.float64)
        expected[part.name][part.index] += part.leaf.grad
    sum_gradients(paths, common)
    covered = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    for part in common:
        assert part.leaf.untyped_storage().data_ptr() == parameters[part.name].untyped_storage().data_ptr()
        covered[part.name][part.index] += 1
        expected[part.name][part.index] -= part.leaf.grad
    assert all(bool((times <= 1).all()) for times in covered.values())
    assert all(torch.allclose(rest, torch.zeros_like(rest), atol=1e-12) for rest in expected.values())
    assert all(part.leaf.grad is None for path in paths for part in path.slices)
    assert common_slices(paths[:1], parameters) is paths[0].slices


def test_architectures_are_values():
    """Running another architecture in between, in any mode, changes nothing: the module remembers none."""
    generator = torch.Generator().manual_seed(0)
    supernet = Supernet(NASREC_SMALL, SHAPE, generator)
    dense, sparse = torch.rand(4, 13, generator=generator), torch.rand(4, 26, 16, generator=generator)
    draws = numpy.random.default_rng(0)
    one, other = (single_operator_any_connection(NASREC_SMALL, draws) for _ in range(2))
    before = supernet(dense, sparse, one)
    supernet.eval()(dense, sparse, other)
    assert torch.equal(supernet.train()(dense, sparse, one), before)


def test_extracted_networks_own_their_weights():
    """Training an extracted network leaves the supernet as it was, and the other way round."""
    supernet = Supernet(NASREC_SMALL, SHAPE, torch.Generator().manual_seed(0))
    architecture = single_operator_any_connection(NASREC_SMALL, numpy.random.default_rng(0))
    subnet = extract(supernet, architecture)
    pointers = {parameter.untyped_storage().data_ptr() for parameter in supernet.parameters()}
    assert not pointers & {parameter.untyped_storage().data_ptr() for parameter in subnet.parameters()}


def test_architecture_outside_the_space_is_refused():
    """A path that the supernet does not hold is a ValueError naming block and field."""
    supernet = Supernet(NASREC_SMALL, InputShape(3, 4, 8))
    architecture = single_operator_any_connection(NASREC_SMALL, numpy.random.default_rng(0))
    block = dataclasses.replace(architecture.blocks[0], dense_width=17)
    with pytest.raises(ValueError, match="block 1, dense_width: 17"):
        supernet.path(dataclasses.replace(architecture, blocks=(block, *architecture.blocks[1:])))


@pytest.mark.slow
def test_the_same_generator_gives_the_same_weights():
    """Initial weights come from the generator handed in, and from nothing else."""
    shape = InputShape(3, 4, 8)
    first, second = (Supernet(NASREC_SMALL, shape, torch.Generator().manual_seed(7)).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
