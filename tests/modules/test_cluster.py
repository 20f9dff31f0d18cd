"""modules/cluster.py: nodes as TorchRec's modules see them, memory as the machine has it."""

import os

import pytest
import torch
from torchrec.distributed.comm import get_local_size

from modules import cluster
from modules.cluster import RESERVED_SHARE, Cluster, this_cluster

CPU = torch.device("cpu")


@pytest.mark.parametrize(("ranks", "node"), [(12, 8), (0, 1), (8, 0)])
def test_ranks_that_do_not_fill_nodes(ranks: int, node: int) -> None:
    """Nodes are equal."""
    with pytest.raises(ValueError, match="must be a multiple"):
        Cluster(ranks, node, "cpu", 0, 1)


@pytest.mark.parametrize(("told", "nodes"), [("8", 2), ("4", 4), ("16", 1), ("1", 16)])
def test_nodes_are_the_launchers(told: str, nodes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen ranks are on as many nodes as LOCAL_WORLD_SIZE makes them, for the plan as for TorchRec's modules; a
    rank has its share of the node's memory."""
    monkeypatch.setenv("LOCAL_WORLD_SIZE", told)
    monkeypatch.setattr(cluster, "_node_bytes", lambda: 1600)
    found = this_cluster(CPU, 16)
    assert found.nodes == nodes and found.local_world_size == get_local_size(16) == int(told)
    assert found.host_bytes == 1600 // int(told) and found.device_bytes == 0
    topology = found.topology()
    assert (topology.world_size, topology.local_world_size) == (16, int(told))


def test_alone() -> None:
    """One rank is one node, whatever the environment says of others, with this machine's memory."""
    found = this_cluster(CPU, 1)
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert (found.world_size, found.local_world_size) == (1, 1) and 0 < found.host_bytes <= physical


def test_room_for_tables() -> None:
    """A share of the device's memory is kept free; on CPU, of the host's."""
    gpu, host = Cluster(8, 8, "cuda", 1000, 400), Cluster(8, 8, "cpu", 0, 400)
    assert (gpu.table_bytes, gpu.host_table_bytes) == (1000 * (1 - RESERVED_SHARE), 400 * (1 - RESERVED_SHARE))
    assert host.table_bytes == host.host_table_bytes
    assert gpu.topology().devices[0].storage.hbm == 1000  # the planner's own reservation takes the share off
