"""One process or many, CPU or CUDA: joining the process group, and the few collectives the stages need.

Started by torchrun (or TorchX) the process joins the others; started alone it forms a group of one, so that every
stage is the same program.
"""

import contextlib
import datetime
import itertools
import logging
import os
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, distributed

from pipeline.run.meeting import Heart, left, wait_for
from pipeline.run.names import Device

T = TypeVar("T")

LONGEST_COLLECTIVE = datetime.timedelta(minutes=10)
"""How long a rank waits for the others in a collective before it fails. What may take longer on some rank than on
others is waited for on the store first, where a rank that is gone is noticed within minutes (meeting.py)."""

BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
"""By device. On CUDA what is no tensor of a GPU, such as the objects that ranks exchange, goes by the CPU."""

FAREWELL = datetime.timedelta(seconds=5)
"""How long rank 0 waits at its end for ranks that have not come to theirs."""


@dataclass(frozen=True)
class Processes:
    """This process's place among the others."""

    rank: int
    """This process's number, 0 to world_size - 1."""
    world_size: int
    """Number of processes."""
    device: torch.device
    """Where this process computes."""
    dense_group: distributed.ProcessGroup | None = None
    """All ranks once more, for the all-reduce of dense gradients: on CUDA collectives of one group run one after the
    other, and the next batch's ids should not wait for it. None: the default group."""
    _meetings: Iterator[int] = field(default_factory=itertools.count, repr=False, compare=False)

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and prints for the user."""
        return self.rank == 0

    def mean(self, value: Tensor) -> float:
        """The mean over ranks of a scalar tensor."""
        if self.world_size > 1:
            value = value.clone()
            distributed.all_reduce(value)
        return float(value) / self.world_size

    def reduced(self, value: Tensor, operation: Literal["total", "largest"]) -> Tensor:
        """The ranks' tensors of one shape added, or the largest of each number, on every rank.

        The ranks are to come at about the same time (within LONGEST_COLLECTIVE).
        """
        if self.world_size == 1:
            return value
        value = value.clone()
        distributed.all_reduce(value, distributed.ReduceOp.SUM if operation == "total" else distributed.ReduceOp.MAX)
        return value

    def gather(self, value: T) -> list[T]:
        """Every rank's value, in the order of the ranks, on every rank.

        Ranks may come hours apart. Raises ConnectionError when one of them is gone.
        """
        if self.world_size == 1:
            return [value]
        self._meet(range(self.world_size))
        values: list[Any] = [None] * self.world_size
        distributed.all_gather_object(values, value)
        return values

    def on_first(self, action: Callable[[], T]) -> T:
        """What `action` gives on rank 0, on every rank; what it raises there is raised everywhere.

        It may take hours. Raises ConnectionError when rank 0 is gone.
        """
        if self.world_size == 1:
            return action()
        outcome: list[Any] = [None, None]
        if self.is_first:
            try:
                outcome[0] = action()
            except Exception as error:  # raised on the other ranks too, which would otherwise wait for ever
                outcome[1] = error
        self._meet([0])
        distributed.broadcast_object_list(outcome, src=0)
        if outcome[1] is not None:
            raise outcome[1]
        result: T = outcome[0]
        return result

    def _meet(self, awaited: Sequence[int]) -> None:
        """Wait on the store, in no collective, until the awaited ranks have come as far as this."""
        store, number = distributed.distributed_c10d._get_default_store(), next(self._meetings)
        if self.rank in awaited:
            store.set(f"met {number} {self.rank}", "")
        wait_for(store, {rank: f"met {number} {rank}" for rank in awaited if rank != self.rank})


def is_first_to_say(message: str) -> bool:
    """Whether no rank printed this before: an error met on many ranks, or on one alone, is printed once.

    No collective: the others may be gone, or wait for this rank in another one.
    """
    try:
        store = distributed.distributed_c10d._get_default_store()
        return bool(store.add(f"said {zlib.crc32(message.encode())}", 1) == 1)
    except (RuntimeError, ValueError):  # the process that kept the store is gone, or there never was a group
        return True


@contextlib.contextmanager
def join(device: Device) -> Iterator[Processes]:
    """Join the process group for the length of the block.

    Raises ValueError when CUDA is asked for and there is none.
    """
    quiet_libraries()
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    chosen = _device(device)
    backend = BACKENDS[chosen.type]
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world_size == 1:
        distributed.init_process_group(backend, store=distributed.HashStore(), rank=0, world_size=1)
        dense_group = heart = None
    else:
        distributed.init_process_group(backend, timeout=LONGEST_COLLECTIVE)
        dense_group = distributed.new_group(
            timeout=LONGEST_COLLECTIVE, backend="nccl" if chosen.type == "cuda" else "gloo"
        )
        heart = Heart(distributed.distributed_c10d._get_default_store(), rank)
    try:
        yield Processes(rank, world_size, chosen, dense_group)
    finally:
        _leave(rank, world_size)
        if heart is not None:
            heart.stop()
        distributed.destroy_process_group()


def _leave(rank: int, world_size: int) -> None:
    """Rank 0, which keeps the store where no launcher does, waits for the others a moment before it goes.

    A rank that met the same error asks the store whether it was said. One that hangs or was killed is not waited for
    longer than `FAREWELL`.
    """
    store = distributed.distributed_c10d._get_default_store()
    with contextlib.suppress(RuntimeError):  # the store is gone already, or a rank did not come
        if rank:
            store.set(left(rank), "")
        elif world_size > 1:
            store.set(left(0), "")
            store.wait([left(other) for other in range(1, world_size)], FAREWELL)


@contextlib.contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Let torch compute with `count` threads inside; a float's last bits depend on it, so it is put back after."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device(device: Device) -> torch.device:
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ValueError(
            "device is cuda, but torch sees no CUDA device here "
            f"(torch {torch.__version__}); use --device cpu, or install the CUDA builds (README, 'On GPUs')"
        )
    if device == "cpu" or not available:
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def quiet_libraries() -> None:
    """Silence the libraries' warnings about their own upkeep, which would hide the lines meant for the user."""
    for name in ("torchrec", "torch.fx", "torch.distributed.checkpoint"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for category in (FutureWarning, DeprecationWarning, UserWarning):
        warnings.filterwarnings("ignore", category=category, module=r"(torch|torchrec|fbgemm_gpu)\b")
    warnings.filterwarnings("ignore", message=".*ShardedTensor.*")
