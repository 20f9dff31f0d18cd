"""A plan's tables: worlds against one another, and each embedding table's placement; for the terminal and the page."""

from collections.abc import Sequence

from modules.table_plan import BYTES_PER_NUMBER, FUSED, PlannedTable, TablePlan
from pipeline.planning.estimate import BOUND_BY, PARTS, Estimate
from pipeline.report.tables import Row, Table
from pipeline.report.words import significant

WORDS = {"table_wise": "whole", "row_wise": "by rows over all", "table_row_wise": "by rows over a node"}
"""TorchRec's sharding types."""


def worlds_table(estimates: Sequence[Estimate]) -> Table:
    """A line for each number of GPUs: memory, step, rows a second, what they scale like, the longest part."""
    first = estimates[0]
    fastest = max(range(len(estimates)), key=lambda place: estimates[place].rows_per_s)
    rows = []
    for place, one in enumerate(estimates):
        cluster = one.plan.request.cluster
        growth = cluster.world_size / first.plan.request.cluster.world_size
        cells = (
            f"{cluster.nodes} × {cluster.local_world_size}",
            f"{one.plan.request.batch_size:,}",
            f"{significant(one.memory.total / 1e9)} of {cluster.device_bytes / 1e9:g}" + " (too much)" * (not one.fits),
            significant(one.step_ms),
            significant(one.rows_per_s / 1e6),
            f"{one.rows_per_s / first.rows_per_s / growth:.0%}",
            f"{significant(one.all_reduce_bytes / 1e6)}",
            f"{PARTS[one.bottleneck]} ({one.parts_ms[one.bottleneck] / one.step_ms:.0%}): {BOUND_BY[one.bottleneck]}",
        )
        rows.append(Row(cells, best=frozenset({4} if place == fastest else ())))
    heads = (
        "nodes × GPUs",
        "rows a GPU",
        "GB on the fullest GPU",
        "step ms",
        "million rows/s",
        "of linear",
        "MB all-reduced",
        "longest part: bound by",
    )
    return Table("worlds", "Numbers of GPUs", heads, tuple(rows), texts=frozenset({7}))


def placement_table(one: Estimate, number: int) -> Table:
    """A line for each embedding table, the largest first."""
    sizes = {table.name: table for table in one.plan.request.tables}
    tables = sorted(one.plan.tables, key=lambda table: sizes[table.name].bytes, reverse=True)
    rows = tuple(Row(_cells(one.plan, table)) for table in tables)
    heads = ("table", "rows", "width", "GB", "split", "kept", "ranks", "GB a rank", "ms of its longest shard")
    cluster = one.plan.request.cluster
    title = f"Tables on {cluster.nodes} × {cluster.local_world_size} GPUs"
    return Table(f"placement-table-{number}", title, heads, rows, texts=frozenset({4, 5, 6}))


def _cells(plan: TablePlan, table: PlannedTable) -> tuple[str, ...]:
    size = next(one for one in plan.request.tables if one.name == table.name)
    most = max(table.shards, key=lambda shard: shard.rows)
    longest = max(shard.lookup_ms + shard.vectors_ms + shard.gradients_ms + shard.update_ms for shard in table.shards)
    return (
        table.name,
        f"{size.rows:,}",
        f"{size.width}",
        significant(size.bytes / 1e9),
        WORDS[table.sharding],
        "on the GPU" if table.kernel == FUSED else "in the host, cached",
        ranges([shard.rank for shard in table.shards if shard.rows]),
        significant(BYTES_PER_NUMBER * most.rows * (size.width + 1) / 1e9),
        significant(longest),
    )


def ranges(ranks: Sequence[int]) -> str:
    """Ranks in words.

    >>> ranges([3]), ranges([8, 9, 10, 11]), ranges([0, 1, 5])
    ('3', '8–11', '0–1, 5')
    """
    found: list[list[int]] = []
    for rank in sorted(ranks):
        if found and rank == found[-1][1] + 1:
            found[-1][1] = rank
        else:
            found.append([rank, rank])
    return ", ".join(f"{first}" if first == last else f"{first}–{last}" for first, last in found)


def as_text(table: Table) -> str:
    """For the terminal: columns in line, words to the left, numbers to the right."""
    lines = [table.heads, *(row.cells for row in table.rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(table.heads))]
    left = table.texts | {0}
    return "\n".join(
        "  ".join(
            cell.ljust(widths[place]) if place in left else cell.rjust(widths[place]) for place, cell in enumerate(line)
        ).rstrip()
        for line in lines
    )
