"""One process or several: collectives, errors that reach every rank, and a device that is not there."""

import json
import subprocess
from collections.abc import Callable

import pytest
import torch
from torch import distributed

from pipeline.run.processes import cpu_threads, is_first_to_say, join

Ranks = Callable[..., list[subprocess.CompletedProcess[str]]]

RANK = """
import json, torch
from pipeline.run.processes import cpu_threads, is_first_to_say, join
with join("cpu") as processes:
    def fail():
        raise ValueError(f"found on rank {processes.rank}")
    try:
        processes.on_first(fail)
    except ValueError as error:
        told = str(error)
    value = torch.tensor(1.0 + processes.rank)
    mean = processes.mean(value)
    first = processes.gather(is_first_to_say("the same"))
    own = is_first_to_say(f"only rank {processes.rank}")
    print(json.dumps([processes.rank, processes.gather(10 * processes.rank), mean, float(value),
                      processes.on_first(lambda: processes.rank), told, sorted(first), own]))
"""


@pytest.mark.slow
def test_two_ranks_agree(ranks: Ranks) -> None:
    """gather keeps the ranks' order, mean leaves its argument alone, on_first gives rank 0's value and error to all,
    and of a message that both have, one is the first to say it."""
    found = [json.loads(process.stdout.splitlines()[-1]) for process in ranks(2, RANK)]
    same = ["found on rank 0", [False, True], True]
    assert found == [[rank, [0, 10], 1.5, 1.0 + rank, 0, *same] for rank in range(2)]


GROUPS = """
import torch
from torch import distributed
from pipeline.run.processes import join
with join("cpu") as processes:
    group = processes.dense_group
    value = torch.ones(1)
    distributed.all_reduce(value, group=group)
    limits = {g._get_backend(torch.device("cpu")).options._timeout for g in (group, distributed.GroupMember.WORLD)}
    print(group is not distributed.GroupMember.WORLD, group.size(), float(value), limits)
"""


@pytest.mark.slow
def test_dense_gradients_have_a_group_of_their_own(ranks: Ranks) -> None:
    """A second group of all ranks; in both a collective fails after ten minutes, not after a day."""
    assert [process.stdout for process in ranks(2, GROUPS)] == ["True 2 2.0 {datetime.timedelta(seconds=600)}\n"] * 2


LATE = """
import os, signal, sys, time
from pipeline.run.processes import is_first_to_say, join
with join("cpu") as processes:
    processes.gather(0)
    if processes.rank:
        os.kill(os.getpid(), signal.SIGKILL) if sys.argv[1] == "killed" else time.sleep(1)
    print(is_first_to_say("the same"))
"""


@pytest.mark.slow
def test_a_late_rank_still_asks(ranks: Ranks) -> None:
    """Rank 0, whose process keeps the store, ends first: a rank that comes a second later still learns that the message
    was said. One that was killed is not waited for for ever."""
    assert [process.stdout for process in ranks(2, LATE, "late")] == ["True\n", "False\n"]
    assert [process.returncode for process in ranks(2, LATE, "killed", check=False)] == [0, -9]


def test_alone_is_a_group_of_one() -> None:
    """Without torchrun's environment: rank 0 of 1, collectives give back the own value, and no group is left behind."""
    with join("cpu") as processes:
        assert (processes.rank, processes.world_size, processes.is_first) == (0, 1, True)
        assert processes.dense_group is None
        assert processes.gather("own") == ["own"]
        assert processes.mean(torch.tensor(3.5)) == 3.5
        assert processes.on_first(lambda: 7) == 7
        assert [is_first_to_say(message) for message in ("a", "b", "a")] == [True, True, False]
    assert not distributed.is_initialized()
    assert is_first_to_say("a"), "without a group there is nobody else"


def test_an_error_leaves_no_group_behind() -> None:
    """After an exception in the block, the next program of this process can join again."""
    for _ in range(2):
        with pytest.raises(ValueError, match="inside"), join("cpu"):
            raise ValueError("inside")
    assert not distributed.is_initialized()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_without_cuda() -> None:
    """Asking for CUDA where there is none is a ValueError saying so and what to do; auto takes the CPU."""
    with (
        pytest.raises(ValueError, match=r"device is cuda, but torch sees no CUDA device .* use --device cpu"),
        join("cuda"),
    ):
        pass
    with join("auto") as processes:
        assert processes.device == torch.device("cpu")


def test_cpu_threads_are_put_back() -> None:
    """The count holds inside and not after, also after an error."""
    before = torch.get_num_threads()
    with pytest.raises(KeyError), cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before
