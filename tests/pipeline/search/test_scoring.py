"""pipeline/search/scoring.py: one network's score, against its features and its fitted head."""

import dataclasses
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.operators import EmbeddedFullyConnected, WideFullyConnected
from modules.space import NASREC_SMALL, OPEN, Architecture, Block, InputShape, single_operator_any_connection
from modules.supernet import Supernet, extract
from pipeline.run.processes import Processes, join
from pipeline.search.head_rows import HeadRows
from pipeline.search.lockstep import fit_heads
from pipeline.search.published import train_heads
from pipeline.search.scoring import own_head, pieces, score
from pipeline.search.scoring_config import ScoringConfig
from pipeline.session import open_session
from pipeline.training.frozen_rows import CHUNK_ROWS, FrozenRows, load_frozen_rows
from pipeline.training.supernet import load_supernet

TinyRun = Any
SHAPE = InputShape(2, 3, 4)


def supernet() -> Supernet:
    """A supernet whose head is not the zero a new one has."""
    made = Supernet(NASREC_SMALL, SHAPE, torch.Generator().manual_seed(0))
    nn.init.normal_(made.get_parameter("widest.head.weight"), std=0.1, generator=torch.Generator().manual_seed(1))
    return made


def frozen(rows: int, seed: int) -> FrozenRows:
    """Random rows, labels that depend on them."""
    generator = torch.Generator().manual_seed(seed)
    dense = torch.rand(rows, 2, generator=generator)
    embedded = torch.randn(rows, 3, 4, generator=generator)
    label = (torch.rand(rows, generator=generator) < (2 * embedded[:, 0, 0] - dense[:, 1]).sigmoid()).float()
    return FrozenRows(dense, embedded, label)


def architectures(count: int) -> list[Any]:
    """Random ones of the space."""
    generator = numpy.random.default_rng(0)
    return [single_operator_any_connection(NASREC_SMALL, generator) for _ in range(count)]


@pytest.mark.slow
def test_rows_looked_up_are_the_tables_rows(copied: TinyRun) -> None:
    """The first rows of a split, in the stream's order, each field the row of its table; all rows where fewer are there
    than asked for, and a shuffle is the same each time."""
    with join("cpu") as processes, open_session(copied.config, processes) as session:
        _, trainee = load_supernet(session)
        sharded = trainee.embeddings.state_dict()
        names = [f"embedding_bags.{table.name}.weight" for table in session.tables()]
        tables = [sharded[name].local_shards()[0].tensor for name in names]
        for split, shuffle_seed in (("valid", None), ("train", 7)):
            batches = list(session.dataset.stream(split, CHUNK_ROWS, shuffle_seed=shuffle_seed, drop_last=False))
            ids, dense = torch.cat([b.ids for b in batches]), torch.cat([b.dense for b in batches])
            label = torch.cat([b.label for b in batches])
            expected = torch.stack([table[own] for table, own in zip(tables, ids.t(), strict=True)], dim=1)
            for rows in (1, 50, 10**6):
                found = load_frozen_rows(trainee.embeddings, session.dataset, split, rows, processes, shuffle_seed)
                assert len(found.label) == min(rows, session.dataset.rows(split))
                assert torch.equal(found.embedded, expected[:rows])
                assert torch.equal(found.dense, dense[:rows]) and torch.equal(found.label, label[:rows])


def test_chunks_are_the_rows() -> None:
    """In order, none longer than CHUNK_ROWS, put together the whole."""
    rows = frozen(2 * CHUNK_ROWS + 5, 0)
    chunks = rows.chunks()
    assert [len(chunk.label) for chunk in chunks] == [CHUNK_ROWS, CHUNK_ROWS, 5]
    assert torch.equal(torch.cat([chunk.embedded for chunk in chunks]), rows.embedded)


def log_loss(logit: Tensor, label: Tensor) -> float:
    """Mean binary cross-entropy in float64."""
    return float(binary_cross_entropy_with_logits(logit.double(), label.double()))


def test_score_without_fine_tuning_is_the_supernets_log_loss() -> None:
    """The head as it is: the log loss of the supernet's own forward."""
    whole, valid = supernet(), frozen(300, 4)
    for architecture in architectures(5):
        with torch.no_grad():
            expected = log_loss(whole(valid.dense, valid.embedded, architecture), valid.label)
        found = score(extract(whole, architecture), None, valid, ScoringConfig())
        assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("stop_errors", [0.0, 3.0])
def test_score_with_fine_tuning_fits_the_head_alone(stop_errors: float) -> None:
    """The network's own weights stay, and with rows to fit on the score is that of the fitted head on valid rows, in
    whatever parts these are read, whether features are kept or computed anew, to the last bit."""
    whole, valid, fine_tune = supernet(), frozen(300, 5), frozen(2 * CHUNK_ROWS + 9, 6)
    (architecture,) = architectures(1)
    network = extract(whole, architecture)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    config = ScoringConfig(stop_errors=stop_errors)
    found = score(network, fine_tune, valid, config)
    assert found == score(network, fine_tune, valid, dataclasses.replace(config, fine_tune_mb=0))
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())
    with torch.no_grad():
        features = network.features(fine_tune.dense, fine_tune.embedded)
        judged = network.features(valid.dense, valid.embedded)
    own = before["head.weight"][0], before["head.bias"]
    alone, rows = Processes(0, 1, torch.device("cpu")), HeadRows.of(features, fine_tune.label)
    ((weight, bias),) = fit_heads([own], [rows], config, alone, lambda own, items: [own(one) for one in items])
    assert found == pytest.approx(log_loss(judged.double() @ weight + bias, valid.label), rel=1e-6)
    assert found < score(network, None, valid, config) == score(network, fine_tune.first(0), valid, config)


def test_score_by_the_published_protocol() -> None:
    """The head is trained by the authors' steps on the features of the rows, batch by batch."""
    whole, valid, fine_tune = supernet(), frozen(300, 5), frozen(640, 6)
    (architecture,) = architectures(1)
    network = extract(whole, architecture)
    config = ScoringConfig(protocol="published", published_steps=20, published_batch=32)
    found = score(network, fine_tune, valid, config)

    def features(dense: Tensor, embedded: Tensor) -> list[Tensor]:
        return [network.features(dense, embedded)]

    ((weight, bias),) = train_heads(features, [own_head(network)], fine_tune, config)
    with torch.no_grad():
        judged = network.features(valid.dense, valid.embedded)
    assert found == pytest.approx(log_loss(judged @ weight + bias, valid.label), rel=1e-6)
    assert found < score(network, None, valid, config)


def test_scores_draw_nothing() -> None:
    """Also of a network with dropout, which is off: twice the same, and torch's generator is where it was."""
    shape = InputShape(2, 3, 4)
    block = Block((WideFullyConnected(dropout=0.5),), (EmbeddedFullyConnected(),), 16, 8, (0,), (0,), 0, 0, None, None)
    network = extract(Supernet(OPEN, shape, torch.Generator().manual_seed(0)), Architecture((block,)))
    nn.init.normal_(network.get_parameter("head.weight"), generator=torch.Generator().manual_seed(1))
    before = torch.get_rng_state()
    assert score(network, None, frozen(300, 4), ScoringConfig()) == score(
        network, None, frozen(300, 4), ScoringConfig()
    )
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("rows", [1, 5, 300, 3 * CHUNK_ROWS + 7, 100_000])
def test_pieces_are_the_rows(rows: int) -> None:
    """Every row once, in order, at most CHUNK_ROWS at a time; a share ends at its number of rows, and there is one
    share only where nobody stops."""
    config = ScoringConfig(valid_shares=(0.125, 0.5, 1.0))
    for found in (pieces(rows, config), pieces(rows, dataclasses.replace(config, stop_errors=0))):
        ends = [ends for share in found for ends in share]
        assert [0, *(last for _, last in ends)] == [*(first for first, _ in ends), rows]
        assert all(0 < last - first <= CHUNK_ROWS for first, last in ends)
    assert len(found) == 1
    shares = {max(1, round(rows / 8)), max(1, round(rows / 2)), rows}
    assert [share[-1][1] for share in pieces(rows, config)] == sorted(shares)
