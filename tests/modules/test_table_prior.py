"""modules/table_prior.py: rows of TorchRec's tables move as row-wise Adagrad with a prior says, on every step."""

import json
from collections.abc import Iterator

import pytest
import torch
from torchrec import EmbeddingBagConfig, KeyedJaggedTensor, PoolingType
from torchrec.distributed import DistributedModelParallel

from modules.embeddings import embed, set_learning_rate, shard_embeddings
from modules.table_prior import DECAY, TablePrior, accumulators
from pipeline.run.processes import join

ROWS, WIDTH, RATE, EPSILON = 7, 8, 0.3, 1e-8


@pytest.fixture
def tables() -> Iterator[DistributedModelParallel]:
    """Two small tables on one rank."""
    configs = [
        EmbeddingBagConfig(name=name, feature_names=[name], num_embeddings=ROWS, embedding_dim=WIDTH) for name in "ab"
    ]
    with join("cpu"):
        yield shard_embeddings(configs, torch.device("cpu"), 4, RATE, EPSILON, seed=3)


def weights(tables: DistributedModelParallel) -> list[torch.Tensor]:
    """The tables' rows."""
    return [table.local_shards()[0].tensor for table in tables.state_dict().values()]


@pytest.mark.parametrize("count", [0.0, 0.5, 20.0])
def test_updates_are_those_of_the_formula(tables: DistributedModelParallel, count: float) -> None:
    """After each step every row equals w − η g / (√(s + κ m) + ε), worked out per row in float64."""
    prior = TablePrior(tables, count)
    rows = [weight.double().clone() for weight in weights(tables)]
    sums = [torch.zeros(ROWS, dtype=torch.float64) for _ in rows]
    mean_square, generator = 0.0, torch.Generator().manual_seed(0)
    for step in range(12):
        ids = torch.randint(ROWS, (2, 5), generator=generator)  # [F, B], with repeated ids
        gradient = torch.randn(5, 2, WIDTH, generator=generator) * (step + 1)  # [B, F, D]
        sparse = KeyedJaggedTensor(["a", "b"], ids.flatten(), lengths=torch.ones(10, dtype=torch.int64))
        looked_up = embed(tables, sparse)
        set_learning_rate(tables, RATE)
        prior.observe(gradient)
        (looked_up * gradient).sum().backward()

        found = float(gradient.double().square().mean())
        mean_square = found if step == 0 else DECAY * mean_square + (1 - DECAY) * found
        for field in range(2):
            by_row = torch.zeros(ROWS, WIDTH, dtype=torch.float64).index_add_(
                0, ids[field], gradient[:, field].double()
            )
            sums[field] += by_row.square().mean(1)
            root = (sums[field] + count * mean_square).sqrt() + EPSILON
            rows[field] -= torch.where(by_row.any(1, keepdim=True), RATE * by_row / root[:, None], 0.0)
    for found_rows, expected in zip(weights(tables), rows, strict=True):
        torch.testing.assert_close(found_rows.double(), expected, rtol=2e-4, atol=2e-6)


def test_tables_begun_anew_keep_the_prior_alone(tables: DistributedModelParallel) -> None:
    """Accumulators hold κ m and nothing of the rows' past; the state resumes with the same numbers."""
    prior = TablePrior(tables, 4.0)
    gradient = torch.ones(5, 2, WIDTH) * 3
    sparse = KeyedJaggedTensor(
        ["a", "b"], torch.zeros(10, dtype=torch.int64), lengths=torch.ones(10, dtype=torch.int64)
    )
    looked_up = embed(tables, sparse)
    prior.observe(gradient)
    (looked_up * gradient).sum().backward()
    assert any((accumulator > 4 * 9 + 1).any() for accumulator in accumulators(tables))
    prior.begin_anew()
    for accumulator in accumulators(tables):
        torch.testing.assert_close(accumulator, torch.full((ROWS,), 36.0))
    resumed = TablePrior(tables, 4.0)
    resumed.load_state_dict(prior.state_dict())
    assert (resumed.steps, resumed.mean_square, resumed.held) == (1, 9.0, 36.0)


@pytest.mark.parametrize("count", [-1.0, float("nan")])
def test_a_negative_count_is_refused(tables: DistributedModelParallel, count: float) -> None:
    """The error names the value."""
    with pytest.raises(ValueError, match="prior count"):
        TablePrior(tables, count)


@pytest.fixture
def with_a_list() -> Iterator[DistributedModelParallel]:
    """A table of single ids and one that averages lists."""
    configs = [
        EmbeddingBagConfig(name=f"t_{key}", feature_names=[key], num_embeddings=ROWS, embedding_dim=WIDTH, pooling=own)
        for key, own in (("a", PoolingType.SUM), ("b", PoolingType.MEAN))
    ]
    with join("cpu"):
        yield shard_embeddings(configs, torch.device("cpu"), 4, RATE, EPSILON, seed=3)


def test_values_of_lists_hold_the_square_of_their_share(with_a_list: DistributedModelParallel) -> None:
    """With lists of n ids, an id's step is η (g / n) / (√(s + κ m share) + ε) with the mean of 1 / n² over occurrences
    as share, worked out per row in float64; begun anew and resumed, the table holds its own part of the prior."""
    prior, count = TablePrior(with_a_list, 5.0, [("t_b", "b")]), 5.0
    rows = [weight.double().clone() for weight in weights(with_a_list)]
    sums = [torch.zeros(ROWS, dtype=torch.float64) for _ in rows]
    mean_square, share, generator = 0.0, 0.0, torch.Generator().manual_seed(0)
    for step in range(8):
        lengths = torch.randint(1, 6, (5,), generator=generator)
        ids = [torch.randint(ROWS, (5,), generator=generator), torch.randint(ROWS, (int(lengths.sum()),))]
        gradient = torch.randn(5, 2, WIDTH, generator=generator) * (step + 1)  # [B, F, D]
        both = torch.cat([torch.ones(5, dtype=torch.int64), lengths])
        sparse = KeyedJaggedTensor(["a", "b"], torch.cat(ids), lengths=both)
        looked_up = embed(with_a_list, sparse)
        set_learning_rate(with_a_list, RATE)
        prior.observe(gradient, sparse)
        (looked_up * gradient).sum().backward()

        found = [float(gradient.double().square().mean()), float((1 / lengths).sum() / lengths.sum())]
        mean_square, share = (
            now if step == 0 else DECAY * mean + (1 - DECAY) * now
            for mean, now in zip((mean_square, share), found, strict=True)
        )
        own = [gradient[:, 0].double(), (gradient[:, 1].double() / lengths[:, None]).repeat_interleave(lengths, dim=0)]
        for table, held in enumerate((count * mean_square, count * mean_square * share)):
            by_row = torch.zeros(ROWS, WIDTH, dtype=torch.float64).index_add_(0, ids[table], own[table])
            sums[table] += by_row.square().mean(1)
            root = (sums[table] + held).sqrt() + EPSILON
            rows[table] -= torch.where(by_row.any(1, keepdim=True), RATE * by_row / root[:, None], 0.0)
    for found_rows, expected in zip(weights(with_a_list), rows, strict=True):
        torch.testing.assert_close(found_rows.double(), expected, rtol=2e-4, atol=2e-6)
    resumed = TablePrior(with_a_list, count, [("t_b", "b")])
    resumed.load_state_dict(json.loads(json.dumps(prior.state_dict())))
    resumed.begin_anew()
    for accumulator, held in zip(accumulators(with_a_list), (1.0, share), strict=True):
        torch.testing.assert_close(accumulator, torch.full((ROWS,), count * mean_square * held), rtol=1e-5, atol=0)
