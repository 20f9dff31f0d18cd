"""What mattered in the race: a ridge regression of the trials' log losses on choices of recipe and architecture.

Trials compare among those of the same share of the rows only, so each share's mean is subtracted from the losses and
from the choices. The regression's strength, and how much it explains, follow from leaving out one contender at a time
with all of its trials (a contender's trials resemble one another, so leaving out single ones would flatter it).

n trials, p choices, g shares.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy
import numpy.typing as npt

from modules.operators import Operator
from modules.space import Architecture, live, stem_is_live
from pipeline.run.records.race import Trial

FEWEST_TRIALS = 20
"""With fewer comparable trials nothing is fitted."""
SHOWN_EFFECTS = 12
"""So many effects, the largest ones, are worth a look."""
_FEWEST_WITH = 3
"""A choice is fitted only if so many trials have another value than the most common one."""
_FAR = 6.0
"""Log losses farther from their share's median than so many robust standard deviations are moved there, so that one
training that nearly failed does not decide the fit."""
_STRENGTHS = numpy.logspace(-2, 4, 25)
_DRAWS = 200

Array = npt.NDArray[numpy.float64]


@dataclass(frozen=True)
class Effect:
    """How the log loss changes with one choice, the others as they are."""

    choice: str
    """The choice in words."""
    unit: str
    """What `per_unit` is for: present, pass, doubling …"""
    per_unit: float
    """Change of the validation log loss for one unit more, nats per row; negative: better."""
    per_deviation: float
    """The same for one standard deviation of the choice among the trials: what makes choices comparable."""
    low: float
    """Lower end of the 95 % interval of `per_deviation`, over contenders drawn with replacement."""
    high: float
    """Its upper end."""


@dataclass(frozen=True)
class Importance:
    """A fitted importance."""

    effects: tuple[Effect, ...]
    """By falling size of `per_deviation`."""
    explained: float
    """Share of the variance within equal shares of rows that the fit explains of contenders it has not seen, at most 1;
    0 or less: nothing."""
    trials: int
    """Trials that were fitted."""
    moved: int
    """Those of them whose log loss was so far off that it was moved nearer."""


@dataclass(frozen=True)
class _Choice:
    """One number about a trial."""

    name: str
    unit: str
    value: Callable[[Trial], float]


_CHOICES = (
    _Choice("embedding width", "doubling", lambda trial: math.log2(trial.recipe.embedding_width)),
    _Choice("numbers encoded piecewise", "present", lambda trial: trial.recipe.numbers == "piecewise"),
    _Choice("passes", "pass", lambda trial: trial.recipe.epochs),
    _Choice("fresh tables in each pass", "present", lambda trial: _has_fresh_tables(trial)),
    _Choice("tables' prior count (+ 1)", "doubling", lambda trial: math.log2(1 + trial.recipe.table_prior_count)),
    _Choice("tables' learning rate", "doubling", lambda trial: math.log2(trial.recipe.table_learning_rate)),
    _Choice("dense learning rate", "doubling", lambda trial: math.log2(trial.recipe.learning_rate)),
    _Choice("depth", "block", lambda trial: _depth(trial.architecture)),
    _Choice("inputs of the head", "input", lambda trial: _head_inputs(trial.architecture)),
    _Choice("the head reads the stem", "present", lambda trial: _reads_stem(trial.architecture)),
    _Choice("stem MLP", "present", lambda trial: _has_stem(trial.architecture)),
    _Choice("multiply-accumulates", "doubling", lambda trial: math.log2(max(trial.multiply_accumulates, 1))),
)
"""The choices that every trial has; one for each operator follows."""


def _has_fresh_tables(trial: Trial) -> float:
    return float(trial.recipe.epochs > 1 and trial.recipe.tables == "fresh")


def _depth(architecture: Architecture) -> float:
    """Blocks of which something is computed."""
    alive = zip(architecture.blocks, live(architecture), strict=True)
    return sum(bool(one.operators(block)) for block, one in alive)


def _head_inputs(architecture: Architecture) -> float:
    return len(architecture.logit.dense) + len(architecture.logit.sparse)


def _reads_stem(architecture: Architecture) -> float:
    return float(0 in architecture.logit.dense or 0 in architecture.logit.sparse)


def _has_stem(architecture: Architecture) -> float:
    return float(architecture.stem.vectors > 0 and stem_is_live(architecture))


def fitted_importance(trials: Sequence[Trial], generator: numpy.random.Generator) -> Importance | None:
    """What the trials say about the choices; None where too few compare. `generator` draws the intervals."""
    used = comparable(trials)
    if len(used) < FEWEST_TRIALS:
        return None
    shares = _numbered([trial.row_share for trial in used])
    contenders = _numbered([(trial.kind, trial.contender) for trial in used])
    losses, moved = _near(numpy.array([trial.valid_log_loss for trial in used], dtype=numpy.float64), shares)
    choices, values = _encoded(used)  # [n, p]
    values = _within(values, shares)
    deviations = values.std(axis=0)
    kept = numpy.flatnonzero(deviations > 1e-9)
    if not len(kept):
        return None
    x, y = values[:, kept] / deviations[kept], _within(losses, shares)
    strength, explained = _strength(x, y, shares, contenders)
    slopes = _ridge(x, y, strength)
    low, high = _intervals(x, y, strength, contenders, generator)
    effects = []
    for place, number in enumerate(kept):
        choice, slope = choices[number], float(slopes[place])
        change = slope / float(deviations[number])
        effects.append(Effect(choice.name, choice.unit, change, slope, float(low[place]), float(high[place])))
    effects.sort(key=lambda effect: -abs(effect.per_deviation))
    return Importance(tuple(effects), explained, len(used), moved)


def comparable(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """The trials that succeeded and share their share of rows with another contender's."""
    done = [trial for trial in trials if trial.valid_log_loss is not None]
    rivals = {
        share: len({(trial.kind, trial.contender) for trial in done if trial.row_share == share})
        for share in {trial.row_share for trial in done}
    }
    return tuple(trial for trial in done if rivals[trial.row_share] > 1)


def _encoded(trials: Sequence[Trial]) -> tuple[list[_Choice], Array]:
    """The choices that vary enough to be fitted, and their values [n, p]."""
    titles = [_operators(trial.architecture) for trial in trials]
    columns = [(choice, [choice.value(trial) for trial in trials]) for choice in _CHOICES]
    for title in sorted(set().union(*titles)):
        presence = [float(title in own) for own in titles]
        columns.append((_Choice(title, "present", lambda _: 0.0), presence))
    found = [(choice, values) for choice, values in columns if _varies(values)]
    values = numpy.array([values for _, values in found], dtype=numpy.float64)
    return [choice for choice, _ in found], values.reshape(len(found), len(trials)).T


def _operators(architecture: Architecture) -> set[str]:
    """Titles of the operators and mergers that are computed."""
    alive = zip(architecture.blocks, live(architecture), strict=True)
    return {_title(operator) for block, one in alive for operator in one.operators(block)}


def _title(operator: Operator) -> str:
    """What pictures call it; a merger, which they show by a sign, by what it joins."""
    return operator.title if operator.branch in ("dense", "sparse") else f"{operator.branch.replace('_', '-')} merger"


def _varies(values: Sequence[float]) -> bool:
    """Whether enough trials lie apart from the most common value."""
    ((_, common),) = Counter(values).most_common(1)
    return len(values) - common >= _FEWEST_WITH


def _numbered(keys: Sequence[object]) -> npt.NDArray[numpy.intp]:
    """Equal keys get equal numbers, from 0 in the order of appearance."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return numpy.array([numbers[key] for key in keys], dtype=numpy.intp)


def _near(losses: Array, shares: npt.NDArray[numpy.intp]) -> tuple[Array, int]:
    """The losses with the far ones moved to the edge of their share's bulk, and how many were moved."""
    found = losses.copy()
    for share in range(shares.max() + 1):
        own = losses[shares == share]
        median = numpy.median(own)
        reach = _FAR * 1.4826 * numpy.median(numpy.abs(own - median))  # 1.4826: a normal's deviation over its MAD
        if reach > 0:
            found[shares == share] = numpy.clip(own, median - reach, median + reach)
    return found, int((found != losses).sum())


def _within(values: Array, shares: npt.NDArray[numpy.intp]) -> Array:
    """The values less the mean of their share; [n] or [n, p]."""
    return values - share_means(shares) @ values


def share_means(shares: npt.NDArray[numpy.intp]) -> Array:
    """[n, n]: what a vector is multiplied with to give each trial the mean of its share."""
    same = (shares[:, None] == shares[None, :]).astype(numpy.float64)
    means: Array = same / same.sum(axis=1, keepdims=True)
    return means


def _ridge(x: Array, y: Array, strength: float) -> Array:
    """[p] slopes of the penalized fit."""
    slopes: Array = numpy.linalg.solve(x.T @ x + strength * numpy.eye(x.shape[1]), x.T @ y).astype(numpy.float64)
    return slopes


def _strength(
    x: Array, y: Array, shares: npt.NDArray[numpy.intp], contenders: npt.NDArray[numpy.intp]
) -> tuple[float, float]:
    """The penalty that predicts contenders left out best, and the share of the variance that it then explains."""
    means = share_means(shares)
    without = left_out_error(means, y, contenders)  # predicted by the other contenders' mean
    found = []
    for strength in _STRENGTHS:
        hat = means + x @ numpy.linalg.solve(x.T @ x + strength * numpy.eye(x.shape[1]), x.T)
        found.append(left_out_error(hat, y, contenders))
    best = int(numpy.argmin(found))
    return float(_STRENGTHS[best]), 1 - found[best] / without if without > 0 else 0.0


def left_out_error(hat: Array, y: Array, contenders: npt.NDArray[numpy.intp]) -> float:
    """Sum of squared errors on contenders left out, of the linear fit ŷ = hat y, without fitting anew.

    With B the trials of a contender the errors are (I − H_BB)⁻¹ (y − ŷ)_B, which is exact for any least-squares fit
    with a quadratic penalty (for single rows: Hastie, Tibshirani and Friedman, The Elements of Statistical Learning,
    2nd edition, section 7.10).
    """
    residuals, total = y - hat @ y, 0.0
    for contender in range(contenders.max() + 1):
        own = numpy.flatnonzero(contenders == contender)
        errors = numpy.linalg.solve(numpy.eye(len(own)) - hat[numpy.ix_(own, own)], residuals[own])
        total += float(errors @ errors)
    return total


def _intervals(
    x: Array, y: Array, strength: float, contenders: npt.NDArray[numpy.intp], generator: numpy.random.Generator
) -> tuple[Array, Array]:
    """Lower and upper ends [p] of the slopes over contenders drawn with replacement, with all their trials."""
    count = contenders.max() + 1
    places = [numpy.flatnonzero(contenders == contender) for contender in range(count)]
    drawn = []
    for _ in range(_DRAWS):
        own = numpy.concatenate([places[one] for one in generator.integers(count, size=count)])
        drawn.append(_ridge(x[own], y[own], strength))
    low, high = numpy.quantile(drawn, (0.025, 0.975), axis=0)
    return low, high
