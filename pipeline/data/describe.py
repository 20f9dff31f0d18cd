"""Prints what a data set looks like: rows and label ratio of each split, columns, table sizes.

python -m pipeline.data.describe --path ../shared/data/frappe --folder /tmp/opened
"""

import dataclasses

import tyro

from pipeline.data.config import DataConfig
from pipeline.data.dataset import SPLITS, open_dataset


def describe(config: DataConfig, folder: str) -> str:
    """A few lines on a data set: rows and label ratio of each split, columns, table sizes."""
    dataset = open_dataset(config, folder)
    schema = dataset.schema
    lines = [f"schema {schema.name}: {schema.num_integers} integers, {schema.num_categories} categories"]
    for split in SPLITS:
        oracle = dataset.oracle_log_loss(split)
        best = "" if oracle is None else f", best possible log loss {oracle:.4f}"
        lines.append(f"{split:>6}: {dataset.rows(split):>12,} rows, {dataset.label_ratio(split):.4f} clicks{best}")
    lines += [f"  {column}: {size:,} rows" for column, size in zip(schema.categories, schema.table_sizes, strict=True)]
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class DescribeConfig:
    """What to open."""

    data: tyro.conf.OmitArgPrefixes[DataConfig] = dataclasses.field(default_factory=DataConfig)
    """The click log."""
    folder: str = "runs/data"
    """Where generated or converted files go."""


if __name__ == "__main__":
    config = tyro.cli(DescribeConfig, description=__doc__)
    print(describe(config.data, config.folder))
