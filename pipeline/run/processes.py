"""One process or many, CPU or CUDA: joining the process group, and the few collectives the stages need.

Started by torchrun (or TorchX) the process joins the others; started alone it forms a group of one, so that every
stage is the same program.
"""

import contextlib
import datetime
import logging
import os
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")
Device = Literal["auto", "cpu", "cuda"]

LONGEST_STAGE = datetime.timedelta(hours=24)
"""How long ranks may wait for rank 0, which searches the mapping alone."""

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

    def gather(self, value: T) -> list[T]:
        """Every rank's value, in the order of the ranks, on every rank."""
        values: list[Any] = [None] * self.world_size
        distributed.all_gather_object(values, value)
        return values

    def on_first(self, action: Callable[[], T]) -> T:
        """What `action` gives on rank 0, on every rank; what it raises there is raised everywhere."""
        outcome: list[Any] = [None, None]
        if self.is_first:
            try:
                outcome[0] = action()
            except Exception as error:  # raised on the other ranks too, which would otherwise wait for ever
                outcome[1] = error
        if self.world_size > 1:
            distributed.broadcast_object_list(outcome, src=0)
        if outcome[1] is not None:
            raise outcome[1]
        result: T = outcome[0]
        return result


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
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world_size == 1:
        distributed.init_process_group(backend, store=distributed.HashStore(), rank=0, world_size=1)
    else:
        distributed.init_process_group(backend, timeout=LONGEST_STAGE)
    try:
        yield Processes(rank, world_size, chosen)
    finally:
        _leave(rank, world_size)
        distributed.destroy_process_group()


def _leave(rank: int, world_size: int) -> None:
    """Rank 0, which keeps the store where no launcher does, waits for the others a moment before it goes.

    A rank that met the same error asks the store whether it was said. One that hangs or was killed is not waited for
    longer than `FAREWELL`.
    """
    store = distributed.distributed_c10d._get_default_store()
    with contextlib.suppress(RuntimeError):  # the store is gone already, or a rank did not come
        if rank:
            store.set(f"left {rank}", "")
        elif world_size > 1:
            store.wait([f"left {other}" for other in range(1, world_size)], FAREWELL)


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
