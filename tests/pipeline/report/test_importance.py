"""What mattered: planted effects are found with sign, size and rank; noise explains nothing; the error is a refit's."""

import dataclasses
from collections.abc import Callable

import numpy
import pytest

from modules.space import OPEN, Architecture, InputShape, live, single_operator_any_connection
from modules.space.handmade import handmade
from pipeline.report.importance import (
    FEWEST_TRIALS,
    comparable,
    fitted_importance,
    left_out_error,
    share_means,
)
from pipeline.run.records.race import Trial
from pipeline.run.records.recipe import Recipe

Loss = Callable[[Trial, numpy.random.Generator], float]


def race(count: int, loss: Loss, seed: int = 0) -> list[Trial]:
    """So many contenders of the open space with recipes drawn at random, each screened, every other trained whole."""
    generator = numpy.random.default_rng(seed)
    found: list[Trial] = []
    for number in range(count):
        architecture = single_operator_any_connection(OPEN, generator)
        recipe = Recipe(
            embedding_width=int(generator.choice([8, 16, 32, 64])),
            epochs=int(generator.choice([1, 2, 3])),
            table_prior_count=float(generator.choice([8.0, 32.0, 128.0])),
        )
        for share in (0.25, 1.0)[: 1 + number % 2]:
            macs = int(generator.integers(10_000, 10_000_000))
            trial = Trial(
                len(found),
                "round",
                f"c{number}",
                "searched",
                "drawn",
                architecture,
                recipe,
                share,
                100,
                0.5,
                "",
                macs,
                1,
                None,
            )
            found.append(dataclasses.replace(trial, valid_log_loss=loss(trial, generator)))
    return found


def has_dot_product(architecture: Architecture) -> bool:
    """Whether a dot product is computed."""
    alive = zip(architecture.blocks, live(architecture), strict=True)
    return any(operator.name == "dot_product" for block, one in alive for operator in one.operators(block))


def noise(_: Trial, generator: numpy.random.Generator) -> float:
    """A log loss that nothing decides."""
    return 0.47 + float(generator.normal(0, 0.003))


def planted(trial: Trial, generator: numpy.random.Generator) -> float:
    """Better by .004 for each doubling of the width, worse by .005 with a dot product, and by .05 on a quarter."""
    loss = 0.48 - 0.004 * numpy.log2(trial.recipe.embedding_width) + 0.005 * has_dot_product(trial.architecture)
    return float(loss + 0.05 * (trial.row_share < 1) + generator.normal(0, 0.0003))


def test_planted_effects_are_found() -> None:
    """The two choices that matter come first, with their sign and size, their intervals apart from zero."""
    found = fitted_importance(race(60, planted), numpy.random.default_rng(1))
    assert found is not None and found.explained > 0.9 and found.trials == 90
    effects = {effect.choice: effect for effect in found.effects}
    assert {effect.choice for effect in found.effects[:2]} == {"embedding width", "Dot product"}
    width, dot = effects["embedding width"], effects["Dot product"]
    assert width.per_unit == pytest.approx(-0.004, rel=0.1) and width.unit == "doubling" and width.high < 0
    assert dot.per_unit == pytest.approx(0.005, rel=0.15) and dot.unit == "present" and dot.low > 0
    others = [abs(effect.per_deviation) for effect in found.effects[2:]]
    assert max(others) < 0.2 * min(abs(width.per_deviation), abs(dot.per_deviation))


def test_rank_follows_the_size_of_effects() -> None:
    """With passes planted ten times as strong as the width, passes come before it."""

    def loss(trial: Trial, generator: numpy.random.Generator) -> float:
        width = numpy.log2(trial.recipe.embedding_width)
        return float(0.5 - 0.01 * trial.recipe.epochs + 0.001 * width + generator.normal(0, 0.0001))

    found = fitted_importance(race(60, loss), numpy.random.default_rng(0))
    assert found is not None
    assert [effect.choice for effect in found.effects[:2]] == ["passes", "embedding width"]
    assert found.effects[0].per_unit < 0 < found.effects[1].per_unit


@pytest.mark.parametrize("seed", range(5))
def test_noise_explains_nothing(seed: int) -> None:
    """Where nothing decides the log loss, the fit does not claim to explain it."""
    found = fitted_importance(race(60, noise, seed), numpy.random.default_rng(0))
    assert found is not None and found.explained < 0.1


def test_too_few_trials() -> None:
    """Below the least number nothing is fitted; failed trials, and shares with one contender only, do not count."""
    trials = race(FEWEST_TRIALS, planted)[: FEWEST_TRIALS + 2]
    assert fitted_importance(trials[:FEWEST_TRIALS], numpy.random.default_rng(0)) is not None
    assert fitted_importance(trials[: FEWEST_TRIALS - 1], numpy.random.default_rng(0)) is None
    failed = dataclasses.replace(trials[0], valid_log_loss=None, failure="nan")
    assert fitted_importance([failed, *trials[1:FEWEST_TRIALS]], numpy.random.default_rng(0)) is None
    lonely = dataclasses.replace(trials[0], row_share=0.5)
    assert comparable([lonely, dataclasses.replace(lonely, index=1), *trials[1:]]) == tuple(trials[1:])
    assert fitted_importance([], numpy.random.default_rng(0)) is None


def test_trials_that_are_all_alike() -> None:
    """Where no choice differs there is nothing to fit."""
    architecture = handmade("dlrm", InputShape(13, 26, 16))
    trials = [
        dataclasses.replace(one, architecture=architecture, recipe=Recipe(), multiply_accumulates=1)
        for one in race(30, noise)
    ]
    assert fitted_importance(trials, numpy.random.default_rng(0)) is None


def test_one_training_that_nearly_failed_does_not_decide() -> None:
    """A log loss far from all others is moved nearer, and counted."""
    trials = race(60, planted)
    trials[10] = dataclasses.replace(trials[10], valid_log_loss=9.0)
    found = fitted_importance(trials, numpy.random.default_rng(0))
    assert found is not None and found.moved == 1
    assert {effect.choice for effect in found.effects[:2]} == {"embedding width", "Dot product"}


def test_the_left_out_error_is_that_of_fits_without_the_contender() -> None:
    """Equal to fitting anew for each contender: a mean per share, not penalized, and penalized slopes."""
    generator = numpy.random.default_rng(0)
    shares = numpy.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1])
    contenders = numpy.array([0, 1, 1, 2, 3, 0, 0, 2, 2, 3, 4, 4])
    x, y, strength = generator.normal(size=(12, 4)), generator.normal(size=12), 0.7
    centred = x - share_means(shares) @ x
    penalty = strength * numpy.eye(4)
    hat = share_means(shares) + centred @ numpy.linalg.solve(centred.T @ centred + penalty, centred.T)
    columns = numpy.hstack([shares[:, None] == numpy.arange(2), x])  # [12, 2 + 4]
    expected = 0.0
    for contender in range(5):
        own = contenders == contender
        kept = columns[~own]
        square = kept.T @ kept + numpy.diag([0.0, 0.0, *[strength] * 4])
        expected += float(((y[own] - columns[own] @ numpy.linalg.solve(square, kept.T @ y[~own])) ** 2).sum())
    assert left_out_error(hat, y, contenders) == pytest.approx(expected, rel=1e-10)
