"""The settings and the record of gradient-boosted trees on the same log, which networks are compared with."""

from dataclasses import dataclass

from pipeline.run.records.results import Metrics


@dataclass(frozen=True)
class TreesConfig:
    """Gradient-boosted trees (LightGBM) beside the networks: what one would try instead. They are not exported."""

    rows: int = 2_000_000
    """Training rows up to which trees are fitted, all in memory, at least 0; on larger logs there are none."""
    rounds: int = 500
    """Trees that a fit has at most, at least 1; it ends when validation rows have not gained for 30 trees."""
    leaves: int = 63
    """Leaves of a tree, at least 2."""
    learning_rate: float = 0.1
    """What a tree's values are multiplied by, above 0 to 1."""

    def __post_init__(self) -> None:
        for name, least in (("rows", 0), ("rounds", 1), ("leaves", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"trees.{name} is {getattr(self, name)}; it must be at least {least}")
        if not 0 < self.learning_rate <= 1:
            raise ValueError(f"trees.learning_rate is {self.learning_rate}; it must be above 0 and at most 1")


@dataclass(frozen=True)
class Trees:
    """trees.json: the better of the fits by validation rows."""

    smoothing: float
    """Rows' worth of the mean that a category's statistic is drawn to (LightGBM's cat_smooth)."""
    trees: int
    """Trees of the fit."""
    fits: int
    """Settings that were tried."""
    rows: int
    """Training rows."""
    valid: Metrics
    """On the validation rows."""
    test: Metrics
    """On the test rows."""
