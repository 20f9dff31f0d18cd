"""The plan of a training's tables: made once, kept in the run's folder, made again when what it depends on changed."""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from torch import distributed
from torchrec import EmbeddingBagConfig

from modules.cluster import this_cluster
from modules.table_plan import Request, TablePlan, plan_request, plan_tables
from pipeline.run.records.codec import read_record, to_plain, write_record
from pipeline.session import Session


def planned(session: Session, tables: Sequence[EmbeddingBagConfig], batch_size: int, prefetched: bool) -> TablePlan:
    """Where the rows of these tables are, on every rank: the plan of the run's folder, or a new one of rank 0's.

    Raises ValueError, on every rank, when the tables do not fit.
    """
    processes = session.processes

    def kept_or_new() -> TablePlan:
        cluster = this_cluster(processes.device, distributed.get_world_size())
        request = plan_request(tables, cluster, batch_size, prefetched)
        path = session.folder.table_plan(_digest(request))
        plan = _kept(path, request)
        if plan is None:
            plan = plan_tables(request)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_record(path, plan)
            if processes.world_size > 1:
                session.say(f"tables     {in_words(plan)}")
        return plan

    return processes.on_first(kept_or_new)


def in_words(plan: TablePlan) -> str:
    """How many tables are sharded how, and what the fullest rank holds of what it has."""
    cluster = plan.request.cluster
    kinds = [f"{table.sharding}{', cached' if table.kernel != 'fused' else ''}" for table in plan.tables]
    counts = ", ".join(f"{kinds.count(kind)} {kind.replace('_', '-')}" for kind in dict.fromkeys(kinds))
    fullest = max(max(pair) for pair in plan.rank_bytes())
    return (
        f"{counts}; on {cluster.nodes} node(s) of {cluster.local_world_size} rank(s), of which the fullest holds "
        f"{fullest / 1e9:.3g} of {cluster.table_bytes / 1e9:.3g} GB"
    )


def _kept(path: Path, request: Request) -> TablePlan | None:
    """The plan in the file, if there is one that was made for just this."""
    if path.is_file():
        with contextlib.suppress(ValueError):  # damaged, or of another version: it is made again
            plan = read_record(path, TablePlan)
            if plan.request == request and plan.is_whole:
                return plan
    return None


def _digest(request: Request) -> str:
    """Of what a training asks for: plans of several stand beside one another, those for other ranks replace them."""
    asked = json.dumps([to_plain(request.tables), request.batch_size])
    return hashlib.sha256(asked.encode()).hexdigest()[:12]
