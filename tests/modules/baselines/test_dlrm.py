"""DLRM and DLRM with DCN-v2 against torchrec's whole models."""

import io
from collections.abc import Callable

import pytest
import torch
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor
from torchrec.models import dlrm
from torchrec.modules.crossnet import LowRankCrossNet

from modules.baselines import DLRM, DLRMDCN
from modules.space import InputShape

BATCH = 17
SHAPES = [InputShape(13, 26, 16), InputShape(1, 1, 4), InputShape(3, 10, 7)]


def embedded(shape: InputShape) -> tuple[EmbeddingBagCollection, KeyedJaggedTensor, torch.Tensor, torch.Tensor]:
    """Tables, one id per field and row as KeyedJaggedTensor, dense [B, I], and the looked-up sparse [B, F, D]."""
    generator = torch.Generator().manual_seed(5)
    names = [f"cat_{field}" for field in range(shape.fields)]
    tables = EmbeddingBagCollection(
        tables=[
            EmbeddingBagConfig(
                name=f"t_{name}", embedding_dim=shape.embedding_width, num_embeddings=50, feature_names=[name]
            )
            for name in names
        ]
    )
    ids = torch.randint(50, (shape.fields * BATCH,), generator=generator)
    features = KeyedJaggedTensor(names, ids, lengths=torch.ones(shape.fields * BATCH, dtype=torch.int32))
    dense = torch.randn(BATCH, shape.integers, generator=generator)
    return tables, features, dense, tables(features).values().reshape(BATCH, shape.fields, shape.embedding_width)


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_torchrec_dlrm(shape: InputShape) -> None:
    """With the same weights the logits are those of torchrec.models.dlrm.DLRM, to the last bit."""
    tables, features, dense, sparse = embedded(shape)
    ours = DLRM((24, 12), (20, 9)).build(shape)
    whole = dlrm.DLRM(tables, shape.integers, [24, 12, shape.embedding_width], [20, 9, 1])
    for part in ("dense_arch", "inter_arch", "over_arch"):
        getattr(whole, part).load_state_dict(getattr(ours, part).state_dict())
    logit = ours(dense, sparse)
    assert logit.shape == (BATCH,)
    torch.testing.assert_close(logit, whole(dense, features).squeeze(-1), rtol=0, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_torchrec_dlrm_dcn(shape: InputShape) -> None:
    """With the same weights the logits are those of torchrec.models.dlrm.DLRM_DCN, to the last bit."""
    tables, features, dense, sparse = embedded(shape)
    ours = DLRMDCN((24, 12), (20, 9), cross_layers=3, cross_rank=5).build(shape)
    whole = dlrm.DLRM_DCN(tables, shape.integers, [24, 12, shape.embedding_width], [20, 9, 1], 3, 5)
    for part in ("dense_arch", "inter_arch", "over_arch"):
        getattr(whole, part).load_state_dict(getattr(ours, part).state_dict())
    torch.testing.assert_close(ours(dense, sparse), whole(dense, features).squeeze(-1), rtol=0, atol=0)


def test_scripted_cross_network_trains_and_loads_like_the_eager_one() -> None:
    """Scripted and saved, DCN gives the eager logits; the eager module stays as it was and can be trained."""
    shape = InputShape(3, 4, 8)
    eager = DLRMDCN((6,), (5,)).build(shape)
    dense, sparse = torch.randn(9, 3), torch.randn(9, 4, 8)
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(eager), buffer)
    buffer.seek(0)
    loaded = torch.jit.load(buffer)
    torch.testing.assert_close(loaded(dense, sparse), eager(dense, sparse), rtol=0, atol=1e-6)
    assert list(loaded.state_dict()) == list(eager.state_dict())
    assert isinstance(eager.inter_arch.crossnet, LowRankCrossNet)
    eager(dense, sparse).sum().backward()
    assert all(parameter.grad is not None for parameter in eager.parameters())


def test_default_cross_rank_is_a_quarter_of_the_crossed_width() -> None:
    """Without a rank the cross layers have N // 4 of it, and at least 1."""
    assert DLRMDCN().build(InputShape(13, 26, 16)).inter_arch.crossnet._low_rank == 27 * 16 // 4
    assert DLRMDCN().build(InputShape(1, 1, 1)).inter_arch.crossnet._low_rank == 1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DLRM(over_layers=()), "over_layers is empty"),
        (lambda: DLRM(dense_layers=(8, 0)), "dense_layers"),
        (lambda: DLRMDCN(cross_layers=0), "cross_layers is 0"),
        (lambda: DLRMDCN(cross_rank=0), "cross_rank is 0"),
        (lambda: DLRMDCN(over_layers=()), "over_layers is empty"),
    ],
)
def test_impossible_sizes(build: Callable[[], object], message: str) -> None:
    """A size that cannot be built is a ValueError naming the field."""
    with pytest.raises(ValueError, match=message):
        build()
