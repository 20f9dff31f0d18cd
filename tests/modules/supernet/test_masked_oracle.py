"""The sliced engine against a masked one, which multiplies everything at full width as NasRec does.

The oracle shares nothing with the engine but the names of the parameters: inputs and widths that a path does not have
are zeros, norms and softmaxes leave them out, gradients and optimizer are dense.

B batch, I integers, F fields, D embedding width, W and N the widest dense and sparse outputs, K = round(√(2W)).
"""

import dataclasses
from pathlib import Path

import numpy
import pyarrow.parquet
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from modules.operators.attention import heads_of
from modules.space import NASREC_FULL, InputShape, SearchSpace, any_path, full_path, single_operator_any_connection
from modules.supernet import SlicedAdagrad, Supernet

FRAPPE = Path(__file__).parents[4] / "shared/data/frappe/train.parquet"
SPACE = SearchSpace(
    "tiny",
    NASREC_FULL.dense_operators,
    NASREC_FULL.sparse_operators,
    dense_widths=(4, 8, 16),
    sparse_widths=(2, 3, 6),
    num_blocks=3,
)
WIDER = dataclasses.replace(SPACE, name="wider", dense_widths=(16, 32), sparse_widths=(8, 16))
"""For curves: the norm of two numbers is their order's sign, where rounding grows tenfold in some steps."""


def names(operators):
    """What operators are called."""
    return [operator.name for operator in operators]


class MaskedSupernet:
    """logit = masked(dense [B, I], sparse [B, F, D], architecture), on a supernet's full parameters."""

    def __init__(self, space, shape, parameters):
        self.space, self.shape, self.parameters = space, shape, parameters
        self.dense_width, self.sparse_width = space.dense_widths[-1], space.sparse_widths[-1]

    def __call__(self, dense, sparse, architecture):
        """The logit [B]."""
        dense_outputs, sparse_outputs = [dense], [sparse.transpose(1, 2)]  # [B, W], [B, D, 8 + N]
        for number, block in enumerate(architecture.blocks):
            self.path, self.block = f"blocks.{number}", block
            one = sum(self.dense(name, dense_outputs, sparse_outputs) for name in names(block.dense_operators))
            other = sum(self.sparse(name, sparse_outputs) for name in names(block.sparse_operators))
            merged = other.new_zeros(len(dense), self.shape.embedding_width, 8)
            if block.dense_to_sparse:
                merged = self.normed(one @ self.weight("dense_to_sparse.project").T, "dense_to_sparse.norm")
                merged = merged.view(len(dense), self.shape.embedding_width, 8)
            if block.sparse_to_dense:
                pairs = (other.sum(2).square() - other.square().sum(2)) @ self.weight("sparse_to_dense.project").T
                one = one + self.normed(pairs, "sparse_to_dense.norm", block.dense_width)
            dense_outputs.append(one)
            sparse_outputs.append(torch.cat([merged, other], 2))
        features = torch.cat([dense_outputs[-1], sparse_outputs[-1].transpose(1, 2).flatten(1)], 1)
        return features @ self.parameters["head.weight"][0] + self.parameters["head.bias"]

    def weight(self, name, kind="weight"):
        """A full parameter of the current block."""
        return self.parameters[f"{self.path}.{name}.{kind}"]

    def normed(self, x, name, width=None):
        """Layer norm over the first `width` entries; zeros behind."""
        width = width or x.shape[-1]
        mask = (torch.arange(x.shape[-1]) < width).to(x)
        centred = (x - (x * mask).sum(-1, keepdim=True) / width) * mask
        deviation = (centred.square().sum(-1, keepdim=True) / width + 1e-5).sqrt()
        return (centred / deviation * self.weight(name) + self.weight(name, "bias")) * mask

    def joined(self, outputs, chosen):
        """All earlier outputs side by side, those not chosen as zeros."""
        return torch.cat([x if index in chosen else torch.zeros_like(x) for index, x in enumerate(outputs)], -1)

    def dense(self, name, dense_outputs, sparse_outputs):
        """A dense operator at full width: [B, W]."""
        block, where, width = self.block, f"dense.{name}", self.block.dense_width
        x = self.joined(dense_outputs, block.dense_inputs)
        if name == "fc":
            return self.normed(x @ self.weight(f"{where}.project").T, f"{where}.norm", width).relu()
        if name == "dot_product":
            x = self.normed(x @ self.weight(f"{where}.project_dense").T, f"{where}.norm_dense")
            fields = self.joined(sparse_outputs, block.sparse_inputs) @ self.weight(f"{where}.project_fields").T
            fields = self.normed(fields, f"{where}.norm_fields", round((2 * width) ** 0.5))
            vectors = torch.cat([x[:, :, None], fields], 2)  # [B, D, K + 1]
            products = vectors.transpose(1, 2) @ vectors
            pairs = [products[:, i, j] for i in range(products.shape[1]) for j in range(i)]
            read = torch.cat([x, torch.stack(pairs, 1)], 1)
        else:
            left, right = dense_outputs[block.left], dense_outputs[block.right]
            widest = max(self.shape.integers, self.dense_width)
            left, right = (pad(part, (0, widest - part.shape[1])) for part in (left, right))
            if name == "sigmoid_gating":
                gate = self.weight(f"{where}.gate")
                opened = left[:, : gate.shape[1]] @ gate.T + self.weight(f"{where}.gate", "bias")
                read = right[:, : gate.shape[0]] * opened.sigmoid()
            else:
                read = left + right
            read = read[:, : self.weight(f"{where}.project").shape[1]]
        return self.normed(read @ self.weight(f"{where}.project").T, f"{where}.norm", width)

    def sparse(self, name, sparse_outputs):
        """A sparse operator at full width: [B, D, N]."""
        where, width = f"sparse.{name}", self.block.sparse_width
        joined = self.joined(sparse_outputs, self.block.sparse_inputs)
        fields = self.normed(joined @ self.weight(f"{where}.project").T, f"{where}.norm", width)
        if name == "efc":
            return fields.relu()
        active = torch.arange(self.sparse_width) < width

        def linear(x, layer):
            return x @ self.weight(f"{where}.{layer}").T + self.weight(f"{where}.{layer}", "bias")

        x = fields.transpose(1, 2)  # [B, N, D]
        split = linear(x, "query_key_value").unflatten(2, (3, heads_of(self.shape.embedding_width), -1))
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        scores = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).masked_fill(~active, -torch.inf)
        attended = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        x = self.normed(x + linear(attended, "output"), f"{where}.norm_attention")
        x = self.normed(x + linear(linear(x, "expand").relu(), "contract"), f"{where}.norm_output")
        return (x * active[:, None]).transpose(1, 2)


@pytest.mark.parametrize("shape", [InputShape(3, 4, 4), InputShape(20, 3, 6)], ids=["narrow", "wide"])
@pytest.mark.slow
def test_values_and_gradients_are_the_masked_ones(shape):
    """Float64, random paths of every strategy: logits and all gradients to 1e-11, exact zeros where no slice is.

    Together the paths have every operator, every width and both settings of every merger.
    """
    generator, draws = torch.Generator().manual_seed(0), numpy.random.default_rng(0)
    supernet = Supernet(SPACE, shape, generator).double()
    parameters = supernet.parameters_by_name()
    masked = MaskedSupernet(SPACE, shape, parameters)
    seen = set()
    for sampler in [single_operator_any_connection] * 25 + [any_path] * 5 + [full_path]:
        architecture = sampler(SPACE, draws)
        dense = torch.rand(3, shape.integers, generator=generator, dtype=torch.float64)
        sparse = torch.randn(3, shape.fields, shape.embedding_width, generator=generator, dtype=torch.float64)
        path = supernet.path(architecture)
        ours, theirs = path.network(dense, sparse), masked(dense, sparse, architecture)
        assert torch.allclose(ours, theirs, rtol=1e-11, atol=1e-11)
        ours.square().sum().backward()
        expected = torch.autograd.grad(theirs.square().sum(), list(parameters.values()), allow_unused=True)
        for (name, parameter), gradient in zip(parameters.items(), expected, strict=True):
            found = torch.zeros_like(parameter)
            for part in (part for part in path.slices if part.name == name):
                found[part.index] = part.leaf.grad
            gradient = torch.zeros_like(parameter) if gradient is None else gradient
            assert torch.allclose(found, gradient, rtol=1e-10, atol=1e-11 * (1 + gradient.abs().max())), name
        for block in architecture.blocks:
            seen |= {*block.dense_operators, *block.sparse_operators, ("d", block.dense_width), block.sparse_width}
    assert len(seen) == 4 + 2 + len(SPACE.dense_widths) + len(SPACE.sparse_widths)


def frappe_batches(rows, steps):
    """ids [B, F] and labels of Frappe's training rows in a shuffled order, and the tables' sizes."""
    table = pyarrow.parquet.read_table(FRAPPE)
    columns = [name for name in table.column_names if name != "label"]
    ids = numpy.stack([numpy.unique(table[name].to_numpy(), return_inverse=True)[1] for name in columns], 1)
    order = numpy.random.default_rng(0).permutation(len(ids))[: rows * steps]
    label = table["label"].to_numpy().astype(numpy.float32)[order]
    parts = zip(numpy.split(ids[order], steps), numpy.split(label, steps), strict=True)
    return [(torch.from_numpy(own), torch.from_numpy(labels)) for own, labels in parts], ids.max(0) + 1


@pytest.mark.skipif(not FRAPPE.exists(), reason="the Frappe log is not at ../shared/data/frappe")
@pytest.mark.slow
def test_loss_curves_on_frappe_are_the_masked_ones():
    """200 steps in float32 on real rows, same paths and seed: every loss equals the masked oracle's to 1e-5."""
    batches, sizes = frappe_batches(rows=64, steps=200)
    shape, space = InputShape(1, len(sizes), 8), WIDER
    dense = torch.ones(64, 1)

    def curve(sliced):
        generator, draws = torch.Generator().manual_seed(0), numpy.random.default_rng(0)
        supernet = Supernet(space, shape, generator)
        parameters = supernet.parameters_by_name()
        tables = [nn.Parameter(torch.randn(int(size), 8, generator=generator) / 2) for size in sizes]
        settings = {"lr": 0.01, "initial_accumulator_value": 0.1, "eps": 1e-8}
        table_optimizer = torch.optim.Adagrad(tables, **settings)
        ours = SlicedAdagrad(parameters, epsilon=1e-8, initial_square=0.1)
        theirs = torch.optim.Adagrad(parameters.values(), **settings)
        masked = MaskedSupernet(space, shape, parameters)
        losses = []
        for ids, label in batches:
            architecture = single_operator_any_connection(space, draws)
            sparse = torch.stack([table[own] for table, own in zip(tables, ids.T, strict=True)], 1)
            path = supernet.path(architecture)
            logit = path.network(dense, sparse) if sliced else masked(dense, sparse, architecture)
            loss = binary_cross_entropy_with_logits(logit, label)
            table_optimizer.zero_grad()
            theirs.zero_grad()
            loss.backward()
            table_optimizer.step()
            if sliced:
                ours.step(path.slices, learning_rate=0.01)
            else:
                theirs.step()
            losses.append(float(loss.detach()))
        return losses

    ours, theirs = curve(sliced=True), curve(sliced=False)
    assert max(abs(one - other) for one, other in zip(ours, theirs, strict=True)) < 1e-5
    assert sum(ours[-20:]) < sum(ours[:20])  # it learns: the curves are not flat
