"""The mask block against MaskNet's formula and torch's count."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from modules.operators import MaskBlock
from tests.modules.operators.checks import check_network, flat, rebuilt
from tests.modules.operators.plain import D, close, plain

OUTPUTS = {"dense": (4, 6, 3), "sparse": (5, 2), "dense_inputs": (0, 2), "dense_width": 7}


def start(own):
    """The flattened stem x₀."""
    stem = flat(own.sparse[0])
    return stem if own.inputs.shape.stem_vectors else torch.cat([own.dense[0], stem], 1)


@pytest.mark.parametrize("stem_vectors", [0, 2])
@pytest.mark.parametrize("source", ["dense", "stem", "both"])
def test_formula(source, stem_vectors):
    """act(LN(W (mask ⊙ h))), h the dense inputs, the stem's vectors with a norm each, or both."""
    outputs = {**OUTPUTS, "dense": (2 * D, 6, 3)} if stem_vectors else OUTPUTS
    own = plain(MaskBlock(source, hidden=9), **outputs, stem_vectors=stem_vectors)
    hidden = own.linear("aggregate", start(own)).clamp(min=0)
    vectors = [own.normed(f"vectors.{v}.norm", own.sparse[0][:, :, v]) for v in range(5) if source != "dense"]
    dense = {f"dense_{i}": own.dense[i] for i in (0, 2) if source != "stem"}
    parts = {"stem": torch.cat(vectors, 1), **dense} if vectors else dense
    mask = torch.cat([own.linear(f"masks.{name}.project", hidden) for name in parts], 1)
    x = own.linear("project", mask * torch.cat(list(parts.values()), 1))
    close(own.network(own.dense, own.sparse), own.normed("norm", x).clamp(min=0))


def test_it_is_masknets_block():
    """On the stem alone: MaskNet's block of torch's own modules, embedding norms included."""
    own = plain(MaskBlock("stem", hidden=9), dense=(2 * D,), sparse=(5,), dense_width=7, stem_vectors=2)
    norms = [nn.LayerNorm(D).double() for _ in range(5)]
    mask = nn.Sequential(nn.Linear(5 * D, 9), nn.ReLU(), nn.Linear(9, 5 * D)).double()
    hidden = nn.Sequential(nn.Linear(5 * D, 7, bias=False), nn.LayerNorm(7), nn.ReLU()).double()
    names = {"aggregate": mask[0], "masks.stem.project": mask[2], "project": hidden[0], "norm": hidden[1]}
    names |= {f"vectors.{vector}.norm": norm for vector, norm in enumerate(norms)}
    for name, module in names.items():
        module.load_state_dict(own.layers[name].state_dict())
    embeddings = own.sparse[0].transpose(1, 2)  # [B, 5, D]
    normed = torch.cat([norm(embeddings[:, vector]) for vector, norm in enumerate(norms)], 1)
    close(own.network(own.dense, own.sparse), hidden(mask(embeddings.flatten(1)) * normed))


@pytest.mark.parametrize(("source", "width"), [("dense", 7), ("stem", 5 * D), ("both", 5 * D + 7)])
@pytest.mark.parametrize("norm", [True, False])
def test_counts(source, width, norm):
    """Mask matrices to and from 9 units, a product a masked number, and a projection; torch counts the same."""
    own = plain(MaskBlock(source, hidden=9, norm=norm), **OUTPUTS)
    check_network(own)
    start_width = 4 + 5 * D
    assert own.multiply_accumulates == start_width * 9 + 9 * width + width + width * 7
    norms = 14 if norm else 7  # the norm's scales and shifts, or the projection's biases
    vectors = 5 * 2 * D * (source != "dense")
    weights = (start_width + 1) * 9 + (9 + 1) * width + width * 7
    assert sum(step.parameters() for step in own.steps) == weights + norms + vectors
    assert sum(step.elementwise_operations for step in own.steps) == 9 + 7  # both activations


def test_dropout_is_for_training():
    """In training a share of the numbers is zero and the others grow; in evaluation and scripted nothing happens."""
    own = plain(MaskBlock(dropout=0.3), **OUTPUTS)
    kept = own.network.eval()(own.dense, own.sparse)
    close(kept, rebuilt(own, MaskBlock())(own.dense, own.sparse))
    torch.manual_seed(0)
    found = own.network.train()(own.dense, own.sparse)
    torch.manual_seed(0)
    close(found, functional.dropout(kept, 0.3))
    close(torch.jit.script(own.network)(own.dense, own.sparse), kept)


@pytest.mark.parametrize(
    "wrong", [{"source": "sparse"}, {"hidden": 0}, {"activation": "tanh"}, {"dropout": 1.0}, {"dropout": -0.1}]
)
def test_impossible_options_are_refused(wrong):
    """The message names operator, option and value."""
    (name,) = wrong
    with pytest.raises(ValueError, match=f"mask_block, {name}: "):
        MaskBlock(**wrong)
