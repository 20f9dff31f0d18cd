"""DeepFM against torchrec's whole model."""

from typing import Literal

import pytest
import torch
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor
from torchrec.models.deepfm import SimpleDeepFMNN

from modules.baselines import DeepFM
from modules.space import InputShape


@pytest.mark.parametrize("shape", [InputShape(13, 26, 16), InputShape(1, 1, 4), InputShape(3, 10, 7)])
def test_equals_torchrec_simple_deepfm(shape: InputShape) -> None:
    """With one deep layer, all pairs crossed and the same weights the probabilities are SimpleDeepFMNN's."""
    batch, width = 17, shape.embedding_width
    generator = torch.Generator().manual_seed(5)
    names = [f"cat_{field}" for field in range(shape.fields)]
    tables = EmbeddingBagCollection(
        tables=[
            EmbeddingBagConfig(name=f"t_{name}", embedding_dim=width, num_embeddings=50, feature_names=[name])
            for name in names
        ]
    )
    ids = torch.randint(50, (shape.fields * batch,), generator=generator)
    features = KeyedJaggedTensor(names, ids, lengths=torch.ones(shape.fields * batch, dtype=torch.int32))
    dense = torch.randn(batch, shape.integers, generator=generator)

    ours = DeepFM(dense_units=11, deep_layers=(6,), crossing="all_pairs").build(shape)
    whole = SimpleDeepFMNN(shape.integers, tables, hidden_layer_size=11, deep_fm_dimension=6)
    whole.dense_arch.load_state_dict(ours.dense_arch.state_dict())
    whole.over_arch.model[0].load_state_dict(ours.over.state_dict())
    deep = ours.deep.dense_module._mlp[0]._linear
    whole.inter_arch.deep_fm.dense_module[0].load_state_dict(deep.state_dict())

    sparse = tables(features).values().reshape(batch, shape.fields, width)
    logit = ours(dense, sparse)
    assert logit.shape == (batch,)
    torch.testing.assert_close(logit.sigmoid(), whole(dense, features).squeeze(-1), rtol=0, atol=1e-7)


def test_factorization_machine_is_the_papers() -> None:
    """Crossing equal positions it is the sum of all pairs' inner products (arXiv:1703.04247, equation 2)."""
    interaction = DeepFM(crossing="same_position").build(InputShape(2, 5, 4))
    vectors = torch.randn(9, 6, 4, dtype=torch.float64)
    pairs = [(vectors[:, i] * vectors[:, j]).sum(1) for i in range(6) for j in range(i)]
    crossed = interaction._crossed(vectors)
    assert crossed.shape == (9, 1)
    torch.testing.assert_close(crossed.squeeze(1), torch.stack(pairs).sum(0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("crossing", ["all_pairs", "same_position"])
def test_scripted_equals_eager(crossing: Literal["all_pairs", "same_position"]) -> None:
    """torch.jit.script takes either crossing."""
    eager = DeepFM(crossing=crossing).build(InputShape(2, 5, 4))
    inputs = torch.randn(9, 2), torch.randn(9, 5, 4)
    torch.testing.assert_close(torch.jit.script(eager)(*inputs), eager(*inputs))


def test_impossible_sizes() -> None:
    """A size that cannot be built is a ValueError naming the field."""
    with pytest.raises(ValueError, match="deep_layers is empty"):
        DeepFM(deep_layers=())
    with pytest.raises(ValueError, match="dense_units"):
        DeepFM(dense_units=0)
    with pytest.raises(ValueError, match="crossing is 'none'"):
        DeepFM(crossing="none")  # type: ignore[arg-type]
