"""pipeline/evaluation/tables.py: a line for each file, decile, column, value and range, with the record's figures."""

from pipeline.evaluation.tables import (
    field_tables,
    fields_table,
    files_table,
    metrics_table,
    reliability_table,
    worst_table,
)
from tests.pipeline.evaluation.made_up import evaluation


def test_every_table_is_rectangular() -> None:
    """As many cells as heads in every line, with and without test metrics, and names that are anchors once."""
    for found in (evaluation(), evaluation(test=None), evaluation(files=(0.4,))):
        makers = (metrics_table, files_table, reliability_table, fields_table, worst_table)
        tables = [*(make(found) for make in makers), *field_tables(found)]
        assert all(len(row.cells) == len(table.heads) for table in tables for row in table.rows)
        assert len({table.name for table in tables}) == len(tables) == 8


def test_lines() -> None:
    """What stands in them."""
    found = evaluation()
    assert metrics_table(found).rows[0].cells == (
        *("log loss", "0.46000", "± 0.00100", "0.45000", "+0.0100", "+0.0080 to +0.0120", "more than chance"),
    )
    assert [row.cells[0] for row in files_table(found).rows] == ["day_0.tsv", "day_1.tsv"]
    assert reliability_table(found).rows[1].cells == ("0.2100 to 0.9000", "500", "0.4000", "0.4100", "−0.0100")
    user, site, price = fields_table(found).rows
    assert user.cells == ("user", "category", "5.0 %", "30.0 %", "20.0 %", "30.0 %", "0.5000")
    assert site.cells == ("site", "category", "0.0 %", "–", "–", "–", "–")
    assert price.cells[:4] == ("price", "number", "10.0 %", "–")
    assert [row.cells[0] for row in worst_table(found).rows] == ["price missing", "user = u2", "user unknown"]
    values, _, ranges = field_tables(found)
    assert [(row.cells[0], row.tag) for row in values.rows] == [
        *(("u1", ""), ("u2", "unknown"), ("all unknown values", ""), ("missing", ""), ("other values", "")),
    ]
    assert values.rows[1].cells[1] == "200 (up to 7 more)" and values.rows[1].cells[5] == "2.000"
    assert [row.cells[0] for row in ranges.rows] == ["0", "1 to 12,000", "missing"]
    assert ranges.rows[2].cells[5] == "no click"
