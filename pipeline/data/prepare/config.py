"""The settings of `prepare`, a frozen dataclass from which tyro makes the command line."""

import dataclasses
from typing import Literal

from pipeline.data.schema import MAX_TABLE_ROWS


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """What to prepare, and how."""

    path: str
    """A file, folder or glob of raw text logs (plain, .gz or .zst), local or in a store."""
    schema: str
    """criteo, criteo_terabyte, avazu, avazu_by_time, kdd2012, or a JSON file. The times of its timestamp are kept."""
    folder: str
    """Where the results go: a new folder, or that of a stopped run. Replicas share it."""
    numbering: Literal["hash", "vocabulary"] = "hash"
    """hash: one pass, rows by features.py. vocabulary: two passes, one row for each frequent value."""
    min_count: int = 1
    """Values seen less often share row 1 of their table, 1 or more. For the vocabulary only."""
    max_table_rows: int = MAX_TABLE_ROWS
    """No table gets more rows: hashing is into as many, a vocabulary keeps its most frequent values."""
    max_bad_rows: float = 0.001
    """Largest share, 0 to 1, of a file's lines that may be malformed."""
    processes: int = 0
    """Files worked on at once; 0: one per core, as far as memory_gb allows."""
    memory_gb: float = 4.0
    """Memory of this replica, all its processes together, at least 1."""
    replica: int = 0
    """This replica's number, from 0."""
    replicas: int = 1
    """How many replicas share the work."""

    def __post_init__(self) -> None:
        """Every check names the field, the value found and what to do."""
        for name, low, high in (
            ("min_count", 1, 2**62),
            ("max_table_rows", 3, MAX_TABLE_ROWS),
            ("max_bad_rows", 0, 1),
            ("processes", 0, 4096),
            ("memory_gb", 1, 2**20),
            ("replicas", 1, 2**20),
            ("replica", 0, self.replicas - 1),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}; use {low} to {high}")
        if "://" in self.folder:
            raise ValueError(f"folder is {self.folder!r}; give one of a file system that every replica sees")
        if self.numbering == "hash" and self.min_count != 1:
            raise ValueError(
                f"min_count is {self.min_count}, which is for --numbering vocabulary; leave one of them out"
            )
