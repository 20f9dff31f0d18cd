"""pipeline/data/describe.py: what a data set looks like, in a few lines."""

from pathlib import Path

from pipeline.data import DataConfig
from pipeline.data.describe import describe


def test_describe(tmp_path: Path) -> None:
    """The description names rows, label ratio, oracle and tables."""
    text = describe(DataConfig(rows=2000, numbering="hash"), str(tmp_path))
    assert "schema criteo: 13 integers, 26 categories" in text
    assert "best possible log loss 0." in text
    assert "cat_2: 20,000 rows" in text
