"""What `python -m pipeline.plan` does: the tables that are planned, an estimate for each number of GPUs, the page."""

from pathlib import Path

from torchrec import EmbeddingBagConfig

from modules.space import InputShape
from modules.space.search_space import space_of
from modules.table_plan import plan_request, plan_tables
from pipeline.config import RunConfig
from pipeline.data.generate.logs import generated_schema
from pipeline.data.schema import BUILT_IN, Schema
from pipeline.data.storage.paths import path_manager
from pipeline.planning.config import PlanConfig
from pipeline.planning.dense_part import DRAWN_STEPS, DensePart, dense_part
from pipeline.planning.estimate import Estimate, estimate
from pipeline.planning.gpus import GPUS
from pipeline.planning.page import headline, write_page
from pipeline.planning.tables import as_text, placement_table, worlds_table
from pipeline.run.processes import quiet_libraries


def plan_run(own: PlanConfig, run: RunConfig, named: str, command: str) -> None:
    """Print the plans and write the page. `named`: the named run that stands first; `command`: what the page shows.

    Raises ValueError as `schema_of` and `estimates_for` do.
    """
    quiet_libraries()
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
    space, dense, estimates = space_of(run.model.space, run.model.precision), None, []
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
