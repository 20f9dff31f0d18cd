"""pipeline/evaluation/groups.py: sums by value and by range against the rows counted one by one."""

import numpy
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from pipeline.data.formats.features import number_feature
from pipeline.evaluation.groups import SHOWN_CHARACTERS, CategorySums, NumberSums, group_of, row_sums
from pipeline.run.records.evaluation import Group

VALUES = st.one_of(st.none(), st.sampled_from(["", "a", "b", "ccc", "ü", "rare1", "rare2"]))
FEW = st.integers(-6, 6).map(lambda value: value / 2)
ROWS = st.lists(st.tuples(VALUES, FEW, st.integers(0, 1), st.booleans()), min_size=1, max_size=60)


def expected(logits: numpy.ndarray, labels: numpy.ndarray, of: int) -> Group | None:
    """A group by its definition, in float64."""
    if not len(logits):
        return None
    x, y = logits.astype(numpy.float64), labels.astype(numpy.float64)
    p = expit(x)
    loss = float(-numpy.where(y > 0, numpy.log(p), numpy.log1p(-p)).mean())
    deviations = float((p.sum() - y.sum()) / numpy.sqrt((p * (1 - p)).sum()))
    return Group(len(x), len(x) / of, float(y.mean()), float(p.mean()), loss, deviations)


def alike(found: Group | None, wanted: Group | None) -> None:
    """Equal to rounding."""
    assert (found is None) == (wanted is None)
    for name in Group.__dataclass_fields__ if wanted is not None else ():
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-9, abs=1e-9), name


@given(ROWS, st.integers(1, 9), st.booleans())
def test_values(rows: list[tuple[str | None, float, int, bool]], size: int, is_dictionary: bool) -> None:
    """Of a category, whatever the pieces: rows, clicks, predictions and losses of each value, of missing (empty too),
    unknown and other ones are those of the rows counted by hand; the most frequent come first, equal ones by value."""
    values = [value for value, *_ in rows]
    logits = numpy.array([logit for _, logit, *_ in rows], numpy.float32)
    labels = numpy.array([label for _, _, label, _ in rows], numpy.float32)
    missing = numpy.array([not value for value in values])
    unknown = numpy.array([strange for *_, strange in rows]) & ~missing
    sums = CategorySums("c", is_hour=False, has_vocabulary=True)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        column = pa.array(values[part], pa.string())
        column = column.dictionary_encode() if is_dictionary else column
        sums.add(column, missing[part], unknown[part], row_sums(logits[part], labels[part]))
    field = sums.field(shown=3)
    counted = sorted({value for value in values if value}, key=lambda value: (-values.count(value), value.encode()))
    assert [one.value for one in field.values] == counted[:3] and all(one.missed_rows == 0 for one in field.values)
    held = numpy.array([value or "" for value in values])
    for one in field.values:
        mask = held == one.value
        alike(one.group, expected(logits[mask], labels[mask], len(rows)))
        assert one.unknown_share == pytest.approx(unknown[mask].mean())
    other = numpy.isin(held, counted[3:])
    for found, mask in ((field.missing, missing), (field.unknown, unknown), (field.others, other)):
        alike(found, expected(logits[mask], labels[mask], len(rows)))
    assert field.unknown_share == pytest.approx(unknown.mean())


def test_without_a_vocabulary_nothing_is_said_of_unknown_values() -> None:
    """Neither their share nor their group."""
    sums = CategorySums("c", is_hour=False, has_vocabulary=False)
    sums.add(pa.array([3, None]), numpy.array([False, True]), None, row_sums(numpy.zeros(2, "f4"), numpy.ones(2, "f4")))
    field = sums.field(shown=5)
    assert field.unknown_share is None and field.unknown is None and field.values[0].unknown_share is None
    assert [one.value for one in field.values] == ["3"]


def test_hours() -> None:
    """Of times YYMMDDHH the hour of the day counts."""
    sums = CategorySums("c", is_hour=True, has_vocabulary=False)
    times = pa.array([14_102_105, 14_102_205, 14_102_123, None])
    sums.add(times, numpy.array([False] * 3 + [True]), None, row_sums(numpy.zeros(4, "f4"), numpy.ones(4, "f4")))
    assert [(one.value, one.group.rows) for one in sums.field(shown=5).values] == [("5", 2), ("23", 1)]


def test_too_many_values() -> None:
    """Where there are more values than are tracked, the frequent ones stay exact, what another may have lost is at most
    what is said, and memory holds no more than twice as many."""
    generator = numpy.random.default_rng(0)
    sums, tracked = CategorySums("c", is_hour=False, has_vocabulary=False, tracked=50), 50
    counts: dict[str, int] = {}
    for piece in range(40):
        frequent = [f"frequent{n}" for n in range(5) for _ in range(20)]
        late = ["late"] * (30 if piece >= 20 else 0)
        values = [*frequent, *late, *(f"rare{number}" for number in generator.integers(0, 300, 60))]
        for value in values:
            counts[value] = counts.get(value, 0) + 1
        none = numpy.zeros(len(values), bool)
        sums.add(pa.array(values), none, None, row_sums(numpy.zeros(len(values), "f4"), numpy.ones(len(values), "f4")))
        assert sums._held <= 2 * tracked + len(set(values))
    field = sums.field(shown=20)
    found = {one.value: one for one in field.values}
    assert all(found[f"frequent{n}"].group.rows == 800 and found[f"frequent{n}"].missed_rows == 0 for n in range(5))
    assert field.values[5].value == "late" and field.values[5].missed_rows > 0
    assert all(one.group.rows <= counts[one.value] <= one.group.rows + one.missed_rows for one in field.values)
    assert any(one.group.rows < counts[one.value] for one in field.values), "some lose rows, or this tests nothing"
    assert field.others.rows == sum(counts.values()) - sum(one.group.rows for one in field.values)


def test_long_values_are_shortened() -> None:
    """In the record, not where they are told apart."""
    sums = CategorySums("c", is_hour=False, has_vocabulary=False)
    values = pa.array(["x" * 500 + "a", "x" * 500 + "b"])
    sums.add(values, numpy.zeros(2, bool), None, row_sums(numpy.zeros(2, "f4"), numpy.ones(2, "f4")))
    assert [one.value for one in sums.field(shown=5).values] == ["x" * SHOWN_CHARACTERS + "…"] * 2


NUMBERS = st.one_of(
    st.none(),
    st.integers(-5, 5).map(float),
    st.sampled_from([0.5, -0.0, 1e9, 3e38, -7.25, 1000.0, 1001.0]),
    st.floats(-100, 100, width=32),
)


@given(st.lists(st.tuples(NUMBERS, FEW, st.integers(0, 1)), min_size=1, max_size=80), st.integers(1, 12), st.booleans())
def test_ranges(rows: list[tuple[float | None, float, int]], bins: int, is_float: bool) -> None:
    """Ranges are ascending, touch nowhere, hold every row once, and each has the sums of the rows whose number is in
    it."""
    numbers = [None if value is None else value if is_float else float(round(value)) for value, *_ in rows]
    feature = number_feature(pa.array(numbers, pa.float64()), is_float)
    logits = numpy.array([logit for _, logit, _ in rows], numpy.float32)
    labels = numpy.array([label for *_, label in rows], numpy.float32)
    sums = NumberSums("n", is_float)
    for start in range(0, len(rows), 7):
        sums.add(feature[start : start + 7], row_sums(logits[start : start + 7], labels[start : start + 7]))
    field = sums.field(bins)
    missing = feature == -1
    alike(field.missing, expected(logits[missing], labels[missing], len(rows)))
    assert sum(one.group.rows for one in field.bins) == len(rows) - missing.sum()
    raw = numpy.array([0.0 if value is None else value for value in numbers])
    raw = numpy.clip(raw if is_float else numpy.maximum(raw, 0), -3.4028235e38, 3.4028235e38)
    places = numpy.full(len(rows), -1)
    for place, one in enumerate(field.bins):
        slack = 1e-5 * numpy.array([abs(one.low), abs(one.high)]) + 1e-12
        inside = ~missing & (raw >= one.low - slack[0]) & (raw <= one.high + slack[1])
        assert (places[inside] == -1).all() and (place == 0 or field.bins[place - 1].high <= one.low)
        places[inside] = place
        alike(one.group, expected(logits[inside], labels[inside], len(rows)))
    assert (places[~missing] >= 0).all() and len(field.bins) <= bins


def test_quantiles_of_many_numbers() -> None:
    """Of 20,000 numbers each of ten ranges has a tenth of the rows, to a fine bin; a number that half of the rows have
    is a range of its own."""
    generator = numpy.random.default_rng(1)
    numbers = pa.array(generator.lognormal(3, 2, 20_000))
    ones = row_sums(numpy.zeros(20_000, "f4"), numpy.ones(20_000, "f4"))
    sums = NumberSums("n", is_float=True)
    sums.add(number_feature(numbers, is_float=True), ones)
    shares = [one.group.share for one in sums.field(10).bins]
    assert len(shares) == 10 and shares == pytest.approx([0.1] * 10, abs=0.01)
    sums = NumberSums("n", is_float=False)
    half = pa.array([0] * 10_000 + list(range(1, 10_001)))
    sums.add(number_feature(half, is_float=False), ones)
    first, *others = sums.field(10).bins
    assert (first.low, first.high, first.group.rows) == (0, 0, 10_000)
    assert others[0].low == 1 and others[-1].high == 10_000 and len(others) >= 5


def test_extreme_logits() -> None:
    """A row that the model is sure of, and wrong, costs its whole logit, and its group's deviations are finite."""
    sums = row_sums(numpy.array([200.0, -200.0, 60.0], "f4"), numpy.array([0.0, 1.0, 1.0], "f4"))
    assert sums[4].tolist() == pytest.approx([200.0, 200.0, numpy.exp(-60.0)], rel=1e-12)
    group = group_of(sums[:, :1].sum(axis=1), 3)
    assert group is not None and numpy.isfinite(group.deviations) and group.deviations > 1e6
    assert group_of(numpy.zeros(6), 3) is None


LISTS = st.lists(st.tuples(st.lists(VALUES, max_size=5), FEW, st.integers(0, 1)), min_size=1, max_size=30)


@given(LISTS, st.integers(1, 9))
def test_lists(rows: list[tuple[list[str | None], float, int]], size: int) -> None:
    """A row is counted once in the group of each value that its list keeps, unknown ("rare…") with any unknown one,
    missing without any; there are no other rows."""
    kept = [[value for value in own if value][:3] for own, *_ in rows]
    logits = numpy.array([logit for _, logit, _ in rows], numpy.float32)
    labels = numpy.array([label for *_, label in rows], numpy.float32)
    missing = numpy.array([not own for own in kept])
    unknown = numpy.array([[len(own) > place and own[place].startswith("rare") for own in kept] for place in range(3)])
    sums = CategorySums("c", is_hour=False, has_vocabulary=True, list_values=3)
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        column = pa.array([own for own, *_ in rows[part]], pa.list_(pa.string()))
        sums.add(column, missing[part], unknown[:, part], row_sums(logits[part], labels[part]))
    field = sums.field(shown=9)
    holds = {value: numpy.array([value in own for own in kept]) for own in kept for value in own}
    assert [one.value for one in field.values] == sorted(holds, key=lambda one: (-holds[one].sum(), one.encode()))
    for one in field.values:
        alike(one.group, expected(logits[holds[one.value]], labels[holds[one.value]], len(rows)))
        assert one.unknown_share == float(one.value.startswith("rare"))
    alike(field.missing, expected(logits[missing], labels[missing], len(rows)))
    strange = unknown.any(axis=0)
    alike(field.unknown, expected(logits[strange], labels[strange], len(rows)))
    assert field.others is None and field.unknown_share == pytest.approx(strange.mean())
