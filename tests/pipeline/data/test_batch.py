"""pipeline/data/batch.py: the batch that TorchRec looks up and pipelines."""

import torch
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig
from torchrec.streamable import Pipelineable

from pipeline.data.batch import Batch

KEYS = ["a", "b", "c"]


def make(rows: int) -> Batch:
    """A batch of 3 fields with ids of its own everywhere."""
    ids = torch.arange(3 * rows).view(3, rows)
    return Batch.of_ids(torch.rand(rows, 2), ids, torch.zeros(rows), KEYS)


def test_one_id_a_field_and_row() -> None:
    """The KeyedJaggedTensor holds each field's column as given, `ids` its transpose."""
    batch = make(5)
    assert batch.ids.shape == (5, 3)
    for index, key in enumerate(KEYS):
        jagged = batch.sparse[key]
        assert jagged.lengths().tolist() == [1] * 5
        assert jagged.values().tolist() == batch.ids[:, index].tolist() == list(range(5 * index, 5 * index + 5))


def test_embedding_lookup() -> None:
    """An EmbeddingBagCollection returns the rows that the ids name."""
    tables = [
        EmbeddingBagConfig(name=f"t_{key}", embedding_dim=4, num_embeddings=20, feature_names=[key]) for key in KEYS
    ]
    embeddings = EmbeddingBagCollection(tables=tables)
    batch = make(5)
    expected = [embeddings.embedding_bags[f"t_{key}"].weight[batch.ids[:, i]] for i, key in enumerate(KEYS)]
    torch.testing.assert_close(embeddings(batch.sparse).values(), torch.cat(expected, dim=1))


def test_pipelineable() -> None:
    """It is what TorchRec's pipelines take, and moving keeps every value."""
    batch = make(4)
    assert isinstance(batch, Pipelineable)
    moved = batch.to(torch.device("cpu"), non_blocking=True)
    assert torch.equal(moved.dense, batch.dense)
    assert torch.equal(moved.ids, batch.ids)
    assert torch.equal(moved.label, batch.label)
    assert moved.num_rows == 4


def test_empty() -> None:
    """A batch without rows keeps its shapes."""
    batch = make(0)
    assert batch.ids.shape == (0, 3)
    assert batch.dense.shape == (0, 2)
