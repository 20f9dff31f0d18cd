"""What a click log is taken for: every column's role, values and table, the splits, and the first lines that are bad.

    python -m pipeline.data.describe --path logs/                           a log whose schema is known or proposed here
    python -m pipeline.data.describe --path my.csv --write my_schema.json   writes the proposal, to be looked at

A bare file needs no schema: one is proposed by the columns' names and values (pipeline/data/propose.py).
"""

import dataclasses
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tyro

from pipeline.data.config import DataConfig
from pipeline.data.dataset import SPLITS, Dataset, open_dataset
from pipeline.data.formats.all_formats import find_files
from pipeline.data.formats.parquet import PARQUET
from pipeline.data.formats.prepared import TIME_COLUMN
from pipeline.data.formats.reader import BadLine, Format
from pipeline.data.formats.text_lines import read_blocks
from pipeline.data.profile import ColumnProfile, LogProfile, profile_parquet, profile_text, top_in_words
from pipeline.data.propose import Proposal, propose
from pipeline.data.schema import Schema
from pipeline.data.splits import split_rule

CHECKED_ROWS = 5_000_000
"""Rows of text up to which every line is checked; of longer logs so many of the beginning are."""
SHOWN_BAD_LINES = 3
"""Malformed lines that are shown."""


@dataclasses.dataclass(frozen=True)
class DescribeConfig:
    """What to open."""

    data: tyro.conf.OmitArgPrefixes[DataConfig] = dataclasses.field(default_factory=DataConfig)
    """The click log."""
    label: str = ""
    """Column of the label, where a schema is proposed and the label cannot be told."""
    write: str = ""
    """Where to write the proposed schema as JSON, for `--data.schema` of a run; empty: nowhere."""
    folder: str = ""
    """Where generated data, line counts and vocabularies are kept for the next time; empty: nowhere."""


def describe(config: DescribeConfig) -> str:
    """The whole description. Raises ValueError for a log that cannot be read."""
    if config.write and not config.data.path:
        raise ValueError("write is for the schema of a data.path; give one, or leave it out")
    files, kind = find_files(config.data.path) if config.data.path else ([], None)
    lines, data = list[str](), config.data
    with tempfile.TemporaryDirectory() as scratch:
        proposal = _proposal(config, files, kind)
        if proposal is not None:
            path = Path(config.write or f"{scratch}/schema.json")
            proposal.schema.save(path)
            data = dataclasses.replace(data, schema=str(path))
            lines += _written(config, proposal.schema)
        elif config.write or config.label:
            option = "write" if config.write else "label"
            raise ValueError(f"{option} is for a schema that is proposed here, and {data.path!r} has one; leave it out")
        if data.path and kind is not PARQUET:
            schema = proposal.schema if proposal is not None else Schema.load(data.schema or f"{data.path}/schema.json")
            if split_rule(data.split, files, schema) != "time":
                schema = dataclasses.replace(schema, timestamp="")  # as a run reads it
            if problem := _bad_lines(files, schema, data.max_bad_rows):
                return "\n".join([*lines, *problem])
        dataset = open_dataset(data, config.folder or scratch)
        profile = _profile(files, kind, dataset.schema) if data.path else None
        lines += _splits(dataset) + _columns(dataset, profile, proposal)
    return "\n".join(lines)


def _proposal(config: DescribeConfig, files: list[str], kind: Format | None) -> Proposal | None:
    """A schema, where neither the command line nor the log gives one."""
    data = config.data
    beside = Path(data.path.rstrip("/")) / "schema.json"
    if kind is None or data.schema or beside.is_file() or kind.own_schema(files[0]) is not None:
        return None
    profile = _profile(files, kind, None)
    asked = config.write or config.label
    if kind is PARQUET and not asked and any(column.name == "label" for column in profile.columns):
        return None  # a run infers the schema itself
    return propose(profile, Path(data.path.rstrip("/")).name.split(".")[0] or "log", config.label)


def _profile(files: list[str], kind: Format | None, schema: Schema | None) -> LogProfile:
    """The log's profile, its columns called as in the schema where text files have no header."""
    separators = {} if schema is None else dict.fromkeys(schema.lists, schema.list_separator)
    if kind is PARQUET:
        return profile_parquet(files, separators)
    if schema is not None and schema.columns:  # which the sample calls by their places
        separators = {
            _place_name(schema.columns.index(name), len(schema.columns)): one for name, one in separators.items()
        }
    found = profile_text(files, schema.delimiter if schema is not None else "", separators)
    if schema is None or len(schema.columns) != len(found.columns):
        return found
    named = zip(found.columns, schema.columns, strict=True)
    return dataclasses.replace(found, columns=tuple(dataclasses.replace(own, name=name) for own, name in named))


def _place_name(place: int, columns: int) -> str:
    """What DuckDB calls a column of a file without a header.

    >>> _place_name(3, 4), _place_name(3, 11)
    ('column3', 'column03')
    """
    return f"column{place:0{len(str(columns - 1))}}"


def _written(config: DescribeConfig, schema: Schema) -> list[str]:
    what = f"No schema was given; this one is proposed by the columns' names and values ({schema.name})."
    if not config.write:
        return [what, "  --write schema.json writes it, to be looked at and given as --data.schema", ""]
    return [what, f"  written to {config.write}: look at it, then start a run with", f"  {_command(config)}", ""]


def _command(config: DescribeConfig) -> str:
    return f"python -m pipeline.chain --data.path {config.data.path} --data.schema {config.write} --run mine"


def _bad_lines(files: list[str], schema: Schema, allowed: int) -> list[str]:
    """What to say of malformed lines, if there are more than are allowed."""
    bad, rows = list[BadLine](), 0
    for path in files:
        for block in read_blocks(path, schema):
            bad += block.bad
            rows += block.rows.num_rows + len(block.bad)
            if rows >= CHECKED_ROWS:
                break
    if len(bad) <= allowed:
        return []
    shown = [f"  {one}: {one.text[:80]!r}" for one in bad[:SHOWN_BAD_LINES]]
    more = [f"  and {len(bad) - len(shown):,} more"] if len(bad) > len(shown) else []
    advice = f"Repair them, change the schema, or set them aside with --max-bad-rows {len(bad)}."
    return [f"{len(bad):,} of {rows:,} lines are not rows of schema {schema.name!r}:", *shown, *more, advice]


def _splits(dataset: Dataset) -> list[str]:
    """Rows and clicks of each split."""
    lines = []
    for split in SPLITS:
        oracle = dataset.oracle_log_loss(split)
        best = "" if oracle is None else f", best possible log loss {oracle:.4f}"
        by_weight = " by weight" if dataset.schema.weight else ""
        clicks = f"{dataset.label_ratio(split):.4f} clicks{by_weight}"
        lines.append(f"{split:>6}: {dataset.rows(split):>13,} rows, {clicks}{best}")
    return [*lines, *([f"(split {dataset.split_in_words})"] if dataset.split_in_words else []), ""]


def _columns(dataset: Dataset, profile: LogProfile | None, proposal: Proposal | None) -> list[str]:
    """A line for each column, aligned: role, table rows with any cap, and what the sample holds."""
    schema, capped = dataset.schema, dataset.capped_tables
    rows_of = dict(zip(schema.categories, schema.table_sizes, strict=True))
    found = {} if profile is None else {column.name: column for column in profile.columns}
    left_out = {} if proposal is None else proposal.left_out
    names = [*schema.used, *(name for name in found if name not in schema.used)]
    lines = [("column", "role", "table rows", "missing", "distinct", "range", "most frequent")]
    for name in names:
        column, table = found.get(name), f"{rows_of[name]:,}" if name in rows_of else ""
        wanted = capped.get(f"t_{name}", capped.get(name))
        if wanted is not None:
            table += f" (of {wanted[0]:,})"
        shown = (
            ("", "", "", "")
            if column is None or profile is None
            else (
                f"{100 * column.missing / profile.rows:.3g} %",
                f"{column.distinct:,}",
                _range_in_words(column),
                top_in_words(column, profile.rows),
            )
        )
        lines.append((name, _role(schema, name, left_out), table, *shown))
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    if profile is not None:
        which = "all" if profile.is_whole else "the first"
        text.append(f"(missing, distinct, range and frequent values: of {which} {profile.rows:,} rows)")
    if capped:
        text.append(
            "Tables smaller than the log wants (in brackets) make rare values share rows; "
            "raise --data.max-table-rows to give each its own."
        )
    return text


def _range_in_words(column: ColumnProfile) -> str:
    """Of numbers the least and the largest; of lists how many values they have."""
    span = "" if column.lowest is None else f"{column.lowest:g} to {column.highest:g}"
    if column.lists is None:
        return span
    lengths = f"{column.lists.mean:.3g} values a row, up to {column.lists.longest:,}"
    return f"{lengths}; {span}" if span else lengths


def _role(schema: Schema, name: str, left_out: dict[str, str]) -> str:
    """What a column is to a model, or to the split."""
    if name == schema.timestamp:
        input_role = _role(dataclasses.replace(schema, timestamp=""), name, {})
        return "timestamp" if name not in schema.inputs else f"{input_role}; timestamp"
    if name == TIME_COLUMN and schema.timestamp:
        return f"the times of {schema.timestamp!r}"
    if name == schema.label:
        return "label"
    if name == schema.weight:
        return "weight of the row"
    if name in schema.numbers:
        return "decimal number" if name in schema.floats else "whole number"
    if name in schema.categories:
        kinds = {"category, whole numbers": schema.integer_ids, "category, hour of a time": schema.hours}
        if name in schema.lists:
            places = schema.id_places[schema.categories.index(name)]
            kind = "whole numbers" if name in schema.integer_ids else "text"
            return f"list of {kind}, {places} kept"
        return next((kind for kind, names in kinds.items() if name in names), "category, text")
    return f"not read: {left_out[name]}" if name in left_out else "not read"


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit code."""
    try:
        config = tyro.cli(DescribeConfig, prog="pipeline.data.describe", description=__doc__, args=arguments)
        print(describe(config))
    except (ValueError, OSError) as error:
        print(f"pipeline.data.describe: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
