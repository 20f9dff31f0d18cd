"""pipeline/training/table_pipeline.py:
TorchRec's pipeline trains what the plain loop trains, and the position is the trained one's."""

import json
import subprocess
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torchrec import EmbeddingBagConfig
from torchrec.distributed.train_pipeline import train_pipelines

from modules.embeddings import set_learning_rate, shard_embeddings
from pipeline.data import Batch
from pipeline.run.processes import Processes, join
from pipeline.training import table_pipeline
from pipeline.training.table_pipeline import TablePipeline

Ranks = Callable[..., list[subprocess.CompletedProcess[str]]]
STEPS = 5
TABLES = [
    EmbeddingBagConfig(name=f"t_{field}", feature_names=[field], num_embeddings=20, embedding_dim=4) for field in "uvw"
]
RANK = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("shared", sys.argv[1])
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
with shared.join("cpu") as processes:
    print(json.dumps([shared.trained(processes, pipelined) for pipelined in (False, True)]))
"""


class Numbered:
    """A stream whose position is the number of batches read."""

    def __init__(self, rank: int) -> None:
        self.rank, self.read = rank, 0

    def __iter__(self) -> Iterator[Batch]:
        while self.read < STEPS:
            self.read += 1
            draws = torch.Generator().manual_seed(100 * self.rank + self.read)
            ids = torch.randint(20, (3, 8), generator=draws)
            yield Batch.of_ids(torch.rand(8, 2, generator=draws), ids, torch.rand(8, generator=draws), list("uvw"))


def dense_step(batch: Batch, embedded: Tensor) -> tuple[Tensor, Tensor]:
    """A loss without weights of its own."""
    loss = (embedded.sum((1, 2)) * batch.dense[:, 0] - batch.label).square().mean()
    (gradient,) = torch.autograd.grad(loss, embedded)
    return loss.detach(), gradient


def trained(processes: Processes, pipelined: bool) -> list[Any]:
    """Losses, positions and this rank's tables of a few steps at falling learning rates, and a lookup afterwards."""
    embeddings = shard_embeddings(TABLES, processes.device, 8, learning_rate=0.1, epsilon=1e-8, seed=0)
    stream = Numbered(processes.rank)
    pipeline = TablePipeline(embeddings, iter(stream), lambda: {"read": stream.read}, processes.device, pipelined)
    losses, positions, ahead = [], [pipeline.state_dict()], []
    for step in range(STEPS):
        set_learning_rate(embeddings, 0.1 / (step + 1))
        losses.append(float(pipeline.train_next(dense_step)))
        positions.append(pipeline.state_dict())
        ahead.append(stream.read - step - 1)
    pipeline.close()
    assert positions == [{"read": step} for step in range(STEPS + 1)]
    assert ahead == ([2, 2, 2, 1, 0] if pipelined else [0] * STEPS)
    after = embeddings(next(iter(Numbered(processes.rank))).sparse).wait().values()
    own = [shard.tensor.tolist() for table in embeddings.state_dict().values() for shard in table.local_shards()]
    return [losses, own, after.tolist()]


def test_the_pipeline_trains_the_same() -> None:
    """Alone: losses, tables and later lookups of both ways are bit-equal; the pipeline reads two batches ahead."""
    with join("cpu") as processes:
        plain, pipelined = (trained(processes, way) for way in (False, True))
    assert plain == pipelined
    assert len(set(plain[0])) == STEPS


def test_the_pipeline_that_fetches_ahead_trains_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """TorchRec's pipeline for tables with a cache on the device: the same losses, tables and positions, in its order of
    steps. (On a CPU no table has a cache, and TorchRec hands the ids on only where there are CUDA streams.)"""

    def hand_on(context: Any, modules: Any, *_: Any) -> None:
        for name in (module.forward._name for module in modules):
            context.module_input_post_prefetch[name] = context.input_dist_tensors_requests.pop(name).wait()
            context.module_contexts_post_prefetch[name] = context.module_contexts.pop(name)
            handed_on.append(context.index)

    handed_on: list[int] = []
    with join("cpu") as processes:
        plain = trained(processes, False)
        monkeypatch.setattr(train_pipelines, "prefetch_embeddings", hand_on)
        monkeypatch.setattr(table_pipeline, "cached_lookups", lambda _: [SimpleNamespace(prefetch_pipeline=True)])
        assert trained(processes, True) == plain
    assert handed_on == list(range(STEPS))


@pytest.mark.slow
def test_the_pipeline_trains_the_same_on_two_ranks(ranks: Ranks) -> None:
    """The same on two ranks, each with rows and tables of its own."""
    for process in ranks(2, RANK, __file__):
        plain, pipelined = json.loads(process.stdout.splitlines()[-1])
        assert plain == pipelined


def test_a_readers_error_comes_out() -> None:
    """What goes wrong while a batch is read ahead is raised by a step, in either way."""

    def broken() -> Iterator[Batch]:
        yield from iter(Numbered(0))
        raise ValueError("row 7")

    for pipelined in (False, True):
        with join("cpu") as processes:
            embeddings = shard_embeddings(TABLES, processes.device, 8, learning_rate=0.1, epsilon=1e-8, seed=0)
            pipeline = TablePipeline(embeddings, broken(), dict, processes.device, pipelined)
            with pytest.raises(ValueError, match="row 7"):
                for _ in range(STEPS + 1):
                    pipeline.train_next(dense_step)
