"""The tables' part of training: looks up each batch and applies the gradients, plainly or pipelined by TorchRec.

B batch, F fields, D embedding width.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torchrec.distributed import DistributedModelParallel, PrefetchTrainPipelineSparseDist, TrainPipelineSparseDist

from modules.embeddings import cached_lookups, embed
from pipeline.data import Batch

DenseStep = Callable[[Batch, Tensor], tuple[Tensor, Tensor]]
"""(batch, embedded [B, F, D]) → (mean loss, gradient of embedded): forward, backward and update of the dense part."""


class TablePipeline:
    """Looks up a stream's batches, one per step, and applies the gradients of the looked-up vectors to the tables.

    On CUDA (or if `pipelined` says so) by TorchRec's TrainPipelineSparseDist, which copies the batch after next to the
    GPU and exchanges the next batch's ids between ranks while the dense part computes. Where tables are in host memory
    and were planned for it, TorchRec's PrefetchTrainPipelineSparseDist also fetches the next batch's rows into their
    caches on the GPU meanwhile. The result is the same.
    """

    def __init__(
        self,
        embeddings: DistributedModelParallel,
        batches: Iterator[Batch],
        position: Callable[[], dict[str, Any]],
        device: torch.device,
        pipelined: bool | None = None,
    ) -> None:
        """`position()`: of `batches`, behind the last one that was read; both belong to one `Stream`."""
        self._device, self._model = device, _TablesOfBatch(embeddings)
        self._dense_step: DenseStep | None = None
        self._read: deque[dict[str, Any]] = deque()  # the position behind each batch that was read and not yet trained
        self._position = position()
        self._batches = self._counted(batches, position)
        self._pipeline: Any = None
        if pipelined if pipelined is not None else device.type == "cuda":
            prefetched = any(lookup.prefetch_pipeline for lookup in cached_lookups(embeddings))
            kind: Any = PrefetchTrainPipelineSparseDist if prefetched else TrainPipelineSparseDist
            self._pipeline = kind(
                self._model, _NoOptimizer(), device, execute_all_batches=True, custom_model_fwd=self._forward
            )

    def train_next(self, dense_step: DenseStep) -> Tensor:
        """Train on the next batch; returns its mean loss."""
        self._dense_step = dense_step
        loss: Tensor
        if self._pipeline is not None:
            loss = self._pipeline.progress(self._batches)
        else:
            surrogate, loss = self._forward(next(self._batches).to(self._device, non_blocking=True))
            surrogate.backward()
        self._position = self._read.popleft()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The position behind the last trained batch, however many more were read."""
        return self._position

    def close(self) -> None:
        """Restores the tables' own forward."""
        if self._pipeline is not None:
            self._pipeline.detach()

    def _forward(self, batch: Batch | None) -> tuple[Tensor, Tensor]:
        """A scalar whose gradient by the tables is that of the step's loss, and that loss."""
        assert batch is not None and self._dense_step is not None
        looked_up = embed(self._model.embeddings, batch.sparse)
        loss, gradient = self._dense_step(batch, looked_up.detach().requires_grad_())
        return (looked_up * gradient).sum(), loss

    def _counted(self, batches: Iterator[Batch], position: Callable[[], dict[str, Any]]) -> Iterator[Batch]:
        for batch in batches:
            self._read.append(position())
            yield batch


class _TablesOfBatch(nn.Module):
    """The module that TorchRec's pipeline traces to find which features of a batch each table reads."""

    def __init__(self, embeddings: DistributedModelParallel) -> None:
        super().__init__()
        self.embeddings = embeddings

    def forward(self, batch: Batch) -> Any:
        return self.embeddings(batch.sparse)


class _NoOptimizer:
    """For TorchRec's pipeline: the tables' optimizer is fused into their backward, the dense part has its own."""

    def zero_grad(self) -> None:
        pass

    def step(self) -> None:
        pass
