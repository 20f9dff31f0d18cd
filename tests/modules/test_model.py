"""ClickModel: tables then interaction, on unsharded and sharded tables alike."""

from contextlib import ExitStack

import numpy
import torch
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor

from modules.embeddings import shard_embeddings
from modules.model import ClickModel
from modules.space import NASREC_SMALL, InputShape, single_operator_any_connection
from modules.supernet import Supernet, extract
from pipeline.run.processes import join

CONFIGS = [
    EmbeddingBagConfig(name=f"t_{field}", feature_names=[field], num_embeddings=rows, embedding_dim=4)
    for field, rows in (("u", 30), ("v", 7), ("w", 50))
]
ROWS = 16


def test_sharded_and_plain_tables_give_the_same_logits() -> None:
    """With the same contents, a supernet (which takes the architecture too) and its extracted network give the logits
    of the interaction on directly looked-up rows, whatever holds the tables."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.stack([torch.randint(config.num_embeddings, (ROWS,), generator=generator) for config in CONFIGS])
    sparse = KeyedJaggedTensor(["u", "v", "w"], ids.flatten(), lengths=torch.ones(3 * ROWS, dtype=torch.int32))
    dense = torch.rand(ROWS, 2, generator=generator)
    supernet = Supernet(NASREC_SMALL, InputShape(2, 3, 4), generator)
    torch.nn.init.normal_(supernet.get_parameter("widest.head.weight"), generator=generator)  # a new head is all zeros
    architecture = single_operator_any_connection(NASREC_SMALL, numpy.random.default_rng(0))
    with ExitStack() as stack:
        device = stack.enter_context(join("cpu")).device
        sharded = shard_embeddings(CONFIGS, device, ROWS, learning_rate=0.1, epsilon=1e-8, seed=0)
        stack.enter_context(torch.no_grad())
        tables = {name: table.local_shards()[0].tensor for name, table in sharded.state_dict().items()}
        plain = EmbeddingBagCollection(tables=CONFIGS)
        plain.load_state_dict(tables)
        embedded = torch.stack([table[own] for table, own in zip(tables.values(), ids, strict=True)], dim=1)
        expected = supernet(dense, embedded, architecture)
        assert expected.std() > 1e-3
        for embeddings in (sharded, plain):
            found = ClickModel(embeddings, supernet)(dense, sparse, architecture)
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
            torch.testing.assert_close(
                ClickModel(embeddings, extract(supernet, architecture))(dense, sparse), expected, rtol=1e-5, atol=1e-6
            )
