"""The data settings of a run, a frozen dataclass that tyro makes a command line from."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where the click log comes from."""

    path: str = ""
    """A file, folder or glob of click logs: Criteo TSV or CSV (plain, .gz, .zst) or Parquet. Empty: generated data."""
    schema: str = ""
    """criteo, criteo_terabyte, avazu, kdd2012, or a JSON file. Empty: schema.json in the folder, else inferred
    (Parquet with a column `label`)."""
    rows: int = 200_000
    """Rows to generate (80 % train, 10 % valid, 10 % test). Only without --path."""
    days: int = 7
    """Days the generated rows are spread over, evenly; the distributions drift from day to day. Only without --path."""
    seed: int = 0
    """Seed of the generated data (2^63 - 1 at most). Only without --path."""
    max_table_rows: int = 20_000
    """No embedding table gets more rows (row 0 = missing included); larger ones of the schema are hashed into these.
    Raise it for data of production size: Criteo Terabyte's largest table has 48,937,458 rows."""

    def __post_init__(self) -> None:
        """Checks ranges; settings of the generator beside a path would be ignored, so they are refused."""
        for name, low, high in (
            ("rows", 100, 2**40),
            ("days", 1, 10_000),
            ("seed", 0, 2**63 - 1),
            ("max_table_rows", 2, 2**31 - 1),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"data.{name} is {value}; use {low} to {high}")
        if self.path:
            for field in dataclasses.fields(self):
                if field.name in ("rows", "days", "seed") and getattr(self, field.name) != field.default:
                    raise ValueError(
                        f"data.{field.name} is {getattr(self, field.name)}, but it is for generated data and data.path "
                        f"is {self.path!r}; leave one of them out"
                    )
