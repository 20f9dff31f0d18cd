"""The record of gradient-boosted trees on the same log, which networks are compared with."""

from dataclasses import dataclass

from pipeline.run.records.results import Metrics


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
