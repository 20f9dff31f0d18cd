"""pipeline/data/generate/planted.py:
labels follow the stated probabilities, and interactions carry signal of their own."""

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.data.generate.planted import BASE_RATE, CARDINALITIES, PAIRS, ROTATING, STRENGTH, PlantedModel, RawRows

ROWS = 60_000


@pytest.fixture(scope="module")
def model() -> PlantedModel:
    """One planted model."""
    return PlantedModel(seed=3)


@pytest.fixture(scope="module")
def rows(model: PlantedModel) -> RawRows:
    """A day of it."""
    return model.block(number=0, first_row=0, rows=ROWS, rows_per_day=ROWS)


def log_loss(label: npt.NDArray[np.int8], probability: npt.NDArray[np.float64]) -> float:
    """Mean log loss."""
    return float(-np.where(label == 1, np.log(probability), np.log1p(-probability)).mean())


def test_blocks_stand_alone() -> None:
    """A block is the same from another instance, whatever was drawn before; other blocks and seeds differ."""
    first, second, other = PlantedModel(1), PlantedModel(1), PlantedModel(2)
    first.block(4, 0, 500, 100)
    a, b = first.block(7, 700, 500, 100), second.block(7, 700, 500, 100)
    for name in ("integers", "integer_missing", "categories", "probability", "label"):
        assert (getattr(a, name) == getattr(b, name)).all()
    assert (a.categories != first.block(8, 700, 500, 100).categories).any()
    assert (a.categories != other.block(7, 700, 500, 100).categories).any()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_base_rate(seed: int) -> None:
    """The mean probability is the stated base rate for every seed."""
    assert PlantedModel(seed).block(0, 0, 40_000, 40_000).probability.mean() == pytest.approx(BASE_RATE, abs=0.01)


def test_labels_follow_the_probability(rows: RawRows) -> None:
    """In ten bins of probability the number of clicks is within 4.5 standard deviations of the expected one."""
    order = np.argsort(rows.probability)
    for part in np.array_split(order, 10):
        probability = rows.probability[part]
        deviation = (rows.label[part].sum() - probability.sum()) / np.sqrt((probability * (1 - probability)).sum())
        assert abs(deviation) < 4.5


def test_parts_have_their_strength(model: PlantedModel, rows: RawRows) -> None:
    """Each part of the logit has the stated standard deviation, so interactions are not an afterthought."""
    parts = model.parts(rows.integers, rows.integer_missing, rows.categories)
    for name, strength in STRENGTH.items():
        assert float((parts[name] * model.scale[name]).std()) == pytest.approx(strength, rel=0.1)


def test_interactions_matter(model: PlantedModel, rows: RawRows) -> None:
    """Knowing main effects exactly and nothing else loses over 0.03 of log loss against the planted probability."""
    parts = model.parts(rows.integers, rows.integer_missing, rows.categories)
    linear = sum((parts[name] - model.centre[name]) * model.scale[name] for name in ("main", "integers"))
    best = min(
        log_loss(rows.label, 1 / (1 + np.exp(-(slope * linear + bias))))
        for slope in (0.6, 0.7, 0.8, 0.9, 1.0)
        for bias in np.linspace(-2.5, -0.5, 21)
    )
    assert best - log_loss(rows.label, rows.probability) > 0.03


def test_columns_look_like_clicks(rows: RawRows) -> None:
    """Zipf categories within their ranges, integers with a long tail from -1 on, and missing values in both."""
    for column, size in enumerate(CARDINALITIES):
        values = rows.categories[column]
        assert values.min() >= 0 and values.max() <= size
        present = values[values > 0]
        counts = np.sort(np.bincount(present))[::-1]
        assert counts[0] > 3 * len(present) / size or size <= 4
    assert any((rows.categories[column] == 0).mean() > 0.02 for column in range(26))
    assert rows.integers.min() == -1
    assert np.median(rows.integers) * 20 < rows.integers.max()
    assert 0 < rows.integer_missing.mean() < 0.5


def test_days_drift(model: PlantedModel) -> None:
    """On another day other values of the rotating categories are the popular ones; the others stay."""
    days = [model.block(day, day * 20_000, 20_000, 20_000) for day in (0, 3)]
    for column in (ROTATING[0], PAIRS[0][0]):
        top = [np.bincount(day.categories[column])[1:].argmax() for day in days]
        assert (top[0] != top[1]) == (column in ROTATING)
