"""Plan a run before it is paid for:

    python -m pipeline.plan [named run] --world-size 8 16 128 --hardware h100 [--data.schema criteo ...]

Needs neither GPUs nor the log: where each embedding table goes, what a GPU holds, how long a step takes and what makes
it so long, as TorchRec's planner and estimators say for the hardware named, with the supernet's all-reduce added. It
prints the tables and writes plan.html. The tables' rows are the schema's (--data.schema, or that of the prepared log in
--data.path), as data.max_table_rows lets them be.
"""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from torchrec import EmbeddingBagConfig

from modules.space import InputShape
from modules.space.search_space import SPACES
from modules.table_plan import plan_request, plan_tables
from pipeline.config import NAMED_RUNS, RunConfig
from pipeline.data.generate.logs import generated_schema
from pipeline.data.schema import BUILT_IN, Schema
from pipeline.data.storage.paths import path_manager
from pipeline.planning.dense_part import DRAWN_STEPS, DensePart, dense_part
from pipeline.planning.estimate import Estimate, estimate
from pipeline.planning.gpus import GPUS, GPUS_A_NODE, Hardware
from pipeline.planning.page import headline, write_page
from pipeline.planning.tables import as_text, placement_table, worlds_table
from pipeline.run.processes import quiet_libraries
from pipeline.session import read_command_line


@dataclass(frozen=True)
class PlanConfig:
    """Plan a run's embedding tables for GPUs that need not be here. Settings of the run (--data.schema,
    --model.embedding-width, --supernet.batch-size, ...: see python -m pipeline.chain --help) may follow, and a named
    run may stand first."""

    world_size: tuple[int, ...] = (GPUS_A_NODE,)
    """Numbers of GPUs, one or several, to compare."""
    local_world_size: int = GPUS_A_NODE
    """GPUs of a node, at least 1."""
    hardware: Hardware = "h100"
    """Which GPU: see pipeline/planning/gpus.py for what is taken of each."""
    table_rows: tuple[int, ...] = ()
    """Rows of each table in the schema's order, in place of the schema's."""
    share_of_peak: float = 0.3
    """What products reach of the GPU's peak, above 0 to 1. An assumption: kernels of a few hundred columns reach
    less than the large ones that peaks are measured with."""
    launch_us: float = 5.0
    """Microseconds that the host takes to launch a kernel, at least 0. An assumption: an operator of eager PyTorch
    takes 5 to 10; a captured CUDA graph less than 1."""
    page: str = "plan.html"
    """File to write the page to; empty: no page."""

    def __post_init__(self) -> None:
        if not self.world_size or min(self.world_size) < 1:
            raise ValueError(f"world_size is {self.world_size}; give numbers of GPUs of at least 1")
        if self.local_world_size < 1:
            raise ValueError(f"local_world_size is {self.local_world_size}; it must be at least 1")
        if not 0 < self.share_of_peak <= 1:
            raise ValueError(f"share_of_peak is {self.share_of_peak}; it must be above 0 and at most 1")
        if self.launch_us < 0:
            raise ValueError(f"launch_us is {self.launch_us}; it must be at least 0")


def main(arguments: list[str] | None = None) -> int:
    """Plan what the command line asks for; returns the exit code. What a user did wrong is one line."""
    given = sys.argv[1:] if arguments is None else arguments
    quiet_libraries()
    try:
        own, others = tyro.cli(PlanConfig, prog="pipeline.plan", args=given, return_unknown_args=True)
        named = others[0] if others and others[0] in NAMED_RUNS else ""
        _plan(
            own, read_command_line("pipeline.plan", list(others)), named, f"python -m pipeline.plan {shlex.join(given)}"
        )
    except (ValueError, OSError) as error:
        print(f"pipeline.plan: {error}", file=sys.stderr)
        return 1
    return 0


def _plan(own: PlanConfig, run: RunConfig, named: str, command: str) -> None:
    """Print the plans and write the page."""
    gpu, schema = GPUS[own.hardware], schema_of(own, run, named)
    estimates, dense = estimates_for(own, run, schema)
    for number, one in enumerate(estimates):
        table = placement_table(one, number)
        print(f"{table.title}, {gpu.title}\n{as_text(table)}\n")
    print(as_text(worlds_table(estimates)))
    print(f"\n{headline(max(estimates, key=lambda one: one.rows_per_s), gpu)}")
    if own.page:
        write_page(Path(own.page), estimates, dense, gpu, _facts(own, run, schema, dense), command)
        print(f"page       {own.page}")


def estimates_for(own: PlanConfig, run: RunConfig, schema: Schema) -> tuple[list[Estimate], DensePart]:
    """An estimate for each number of GPUs, in the order given, and the dense part of the last.

    Raises ValueError where ranks do not fill nodes or cannot share a step's rows, and where tables do not fit.
    """
    gpu, width, training = GPUS[own.hardware], run.model.embedding_width, run.supernet
    shape = InputShape(schema.dense_width, schema.num_categories, width)
    tables = [
        EmbeddingBagConfig(name=table, feature_names=[column], num_embeddings=rows, embedding_dim=width)
        for table, column, rows in zip(schema.table_names, schema.categories, schema.table_sizes, strict=True)
    ]
    reached = own.share_of_peak * gpu.flops[training.precision]
    plans = []
    for ranks in own.world_size:
        if training.batch_size % ranks:
            raise ValueError(
                f"supernet.batch_size is {training.batch_size}, which {ranks} ranks cannot share evenly; use a "
                f"multiple of {ranks}"
            )
        cluster = gpu.cluster(ranks, own.local_world_size)
        plans.append(plan_tables(plan_request(tables, cluster, training.batch_size // ranks)))
    space, dense, estimates = SPACES[run.model.space], None, []
    for plan in plans:
        if dense is None or training.distinct_paths:  # more ranks' paths hold more of the supernet together
            dense = dense_part(space, shape, training, plan.request.cluster.world_size, run.seed)
        estimates.append(estimate(plan, dense, training.batch_size, reached, own.launch_us))
    assert dense is not None, "there is at least one number of GPUs"
    return estimates, dense


def schema_of(own: PlanConfig, run: RunConfig, named: str) -> Schema:
    """The schema whose tables are planned: the one given, the prepared log's, the named run's, or the generator's.

    Raises ValueError where only the log itself can say.
    """
    data = run.data
    if data.schema:
        schema = Schema.load(data.schema)
    elif data.path:
        beside = f"{data.path.rstrip('/')}/schema.json"
        if not path_manager().isfile(beside):
            raise ValueError(
                f"{data.path} has no schema.json, so how large its tables are is not known before it is opened; give "
                f"--data.schema ({', '.join(BUILT_IN)}, or a JSON file), with --table-rows if need be"
            )
        schema = Schema.load(beside)
    else:
        schema = BUILT_IN.get(named) or generated_schema()
    if own.table_rows:
        if len(own.table_rows) != schema.num_categories:
            raise ValueError(
                f"table_rows has {len(own.table_rows)} numbers for the {schema.num_categories} categories of the "
                f"schema {schema.name!r}; give one for each"
            )
        schema = Schema(schema.name, schema.label, schema.integers, schema.categories, own.table_rows)
    return schema.with_max_rows(data.max_table_rows)


def _facts(own: PlanConfig, run: RunConfig, schema: Schema, dense: DensePart) -> list[tuple[str, str]]:
    """What was planned, and what is assumed."""
    return [
        (
            "tables",
            f"those of {schema.name!r}, at most {run.data.max_table_rows:,} rows each, width "
            f"{run.model.embedding_width}, float32, row-wise Adagrad. A vocabulary may have fewer rows.",
        ),
        ("ids", "one a row and table, spread evenly over the table: hot rows and skewed tables are slower"),
        (
            "supernet",
            f"space {run.model.space}, {dense.parameters:,} weights; {DRAWN_STEPS} steps drawn by "
            f"{run.supernet.sampler}: {dense.active_weights:,.0f} weights and {dense.multiply_accumulates:,.0f} "
            f"multiply-accumulates a row in the mean, {dense.kept_bytes_a_row:,.0f} bytes a row kept at most",
        ),
        (
            "products",
            f"{own.share_of_peak:.0%} of the peak of {run.supernet.precision}, three times those of the "
            "forward. Assumed, not measured",
        ),
        (
            "all-reduce",
            "2 (N − 1) / N · S / b of a ring, S a step's gradients, b a GPU's links within a node, or a "
            "node's adapters together between nodes",
        ),
        (
            "kernels",
            f"{dense.launches:,.0f} a step, counted as computing operators; {own.launch_us:g} µs for each, assumed",
        ),
        ("not counted", "latencies of messages, reading the log, checkpoints"),
    ]


if __name__ == "__main__":
    sys.exit(main())
