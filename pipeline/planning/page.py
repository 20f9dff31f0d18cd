"""plan.html: one self-contained page of a run's plans for one or several numbers of GPUs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.planning.dense_part import DensePart
from pipeline.planning.estimate import BOUND_BY, PARTS, Estimate
from pipeline.planning.gpus import Gpu
from pipeline.planning.pictures import memory_picture, placement_picture, step_picture
from pipeline.planning.tables import placement_table, worlds_table
from pipeline.report.template import fill_template
from pipeline.report.words import significant


def write_page(
    path: Path,
    estimates: Sequence[Estimate],
    dense: DensePart,
    gpu: Gpu,
    facts: Sequence[tuple[str, str]],
    command: str,
) -> None:
    """Write the page; the same plans give the same bytes. `facts`: what was planned and assumed, by name."""
    fill_template(path, "plan.html.j2", _page(estimates, dense, gpu, facts, command), Path(__file__).parent)


def _page(
    estimates: Sequence[Estimate], dense: DensePart, gpu: Gpu, facts: Sequence[tuple[str, str]], command: str
) -> dict[str, Any]:
    """Everything the template shows."""
    fastest = max(estimates, key=lambda one: one.rows_per_s)
    tables = fastest.plan.request.tables
    return {
        "title": f"Plan: {len(tables)} tables on {gpu.title}",
        "subtitle": f"{gpu.title} · {len(tables)} embedding tables · {fastest.batch_size:,} rows a step",
        "headline": headline(fastest, gpu),
        "details": [sentence for one in estimates for sentence in _warnings(one)],
        "cards": _cards(fastest, dense),
        "step": step_picture(estimates),
        "memory": memory_picture(estimates),
        "worlds": worlds_table(estimates),
        "placements": [(placement_picture(one, n), placement_table(one, n)) for n, one in enumerate(estimates)],
        "facts": [*facts, ("the GPU", gpu.source)],
        "command": command,
    }


def headline(one: Estimate, gpu: Gpu) -> str:
    """What the plan says, in a sentence."""
    cluster, longest = one.plan.request.cluster, one.bottleneck
    return (
        f"On {cluster.nodes} × {cluster.local_world_size} {gpu.title} a step takes at least {significant(one.step_ms)} "
        f"ms, {significant(one.rows_per_s / 1e6)} million rows a second; the longest part is “{PARTS[longest]}”, bound "
        f"by {BOUND_BY[longest]}."
    )


def _warnings(one: Estimate) -> list[str]:
    """What a person should know before paying for it."""
    cluster, found = one.plan.request.cluster, []
    where = f"On {cluster.nodes} × {cluster.local_world_size} GPUs"
    if not one.fits:
        found.append(
            f"{where} the fullest GPU would hold {significant(one.memory.total / 1e9)} GB of its "
            f"{cluster.device_bytes / 1e9:g}: lower supernet.batch_size, or use more GPUs."
        )
    if one.plan.has_cached:
        cached = sum(table.kernel != "fused" for table in one.plan.tables)
        found.append(f"{where} {cached} tables are in the hosts' memory, and the rows in use are cached on the GPUs.")
    return found


def _cards(one: Estimate, dense: DensePart) -> list[tuple[str, str, str, str]]:
    """Name, value, unit and a note of what counts most."""
    whole = sum(table.bytes for table in one.plan.request.tables)
    rows = sum(table.rows for table in one.plan.request.tables)
    return [
        ("Tables with their optimizer", significant(whole / 1e9), "GB", f"{rows:,} rows"),
        ("Fullest GPU", significant(one.memory.total / 1e9), "GB", f"rank {one.fullest_rank}"),
        ("Dense part", significant(dense.parameters / 1e6), "million", "weights, whole on every GPU"),
        (
            "All-reduced in a step",
            significant(one.all_reduce_bytes / 1e6),
            "MB",
            f"gradients of {significant(dense.active_weights / 1e6)} million weights",
        ),
        ("Longest table", one.slowest_table, "", "of the slowest rank"),
    ]
