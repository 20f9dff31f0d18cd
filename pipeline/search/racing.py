"""Candidates compared row by row: who is clearly worse than the contenders is judged on no more rows.

Two networks' losses on the same rows differ far less than either does from row to row, so the standard error is that of
the mean of their differences. The contender that others are compared with is the last that would have a winner's place.

R validation rows, r of them that a candidate was judged on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Score:
    """What a candidate's rows say."""

    log_loss: float
    """Validation log loss, nats per row; an estimate where not all rows were read; NaN or infinite: it failed."""
    rows: int
    """Validation rows that it was judged on."""
    error: float | None
    """Standard error of its mean difference to the contender that it is compared with, nats; 0 for that one itself;
    None where there is none, or it failed."""


def difference(losses: Tensor, other: Tensor) -> tuple[float, float]:
    """Mean of losses [r] less the other's on the same rows ([r] or more), and its standard error (NaN for one row)."""
    differences = losses.double() - other[: len(losses)].double()
    error = float(differences.std()) / math.sqrt(len(differences)) if len(differences) > 1 else math.nan
    return float(differences.mean()), error


def survivors(
    running: Mapping[int, Tensor], contenders: Sequence[Tensor], places: int, errors: float
) -> tuple[int, ...]:
    """Which candidates are judged on more rows: those whose losses are finite and not clearly worse.

    `running`: losses [r] of each; `contenders`: losses [r] of the best ones so far. Worse is: by more than `errors`
    standard errors than the candidate or contender in the last of the `places` on these rows. 0 errors, or fewer
    networks than places: none is worse.
    """
    finite = {place: losses for place, losses in running.items() if math.isfinite(mean(losses))}
    last = _in_last_place([*contenders, *finite.values()], places)
    if not errors or last is None or len(contenders) + len(finite) < places:
        return tuple(finite)
    return tuple(place for place, losses in finite.items() if not _is_worse(losses, last, errors))


def settle(judged: Sequence[Tensor], contenders: Sequence[Tensor], places: int, rows: int) -> list[Score]:
    """The scores of candidates with these losses, [r] of each, when all that go on have been judged on all R rows.

    With all rows it is their mean. With fewer it is the mean of the contender in the last place, who has all rows, and
    the mean difference to it on the rows that both have: scores from different numbers of rows are comparable.
    """
    whole = [losses for losses in judged if len(losses) == rows and math.isfinite(mean(losses))]
    last = _in_last_place([*contenders, *whole], places)
    scores = []
    for losses in judged:
        own = mean(losses)
        if not math.isfinite(own) or last is None:  # none is last where all that went on have failed on later rows
            scores.append(Score(own, len(losses), None))
        else:
            less, error = difference(losses, last)
            value = own if len(losses) == rows else mean(last) + less
            scores.append(Score(value, len(losses), None if math.isnan(error) else error))
    return scores


def mean(losses: Tensor) -> float:
    """Of losses [r], in float64."""
    return float(losses.double().mean())


def _in_last_place(losses: Sequence[Tensor], places: int) -> Tensor | None:
    """The losses of the network in the last of the places, the earlier one where means are equal; None without any."""
    ranked = sorted(losses, key=mean)
    return ranked[min(places, len(ranked)) - 1] if ranked else None


def _is_worse(losses: Tensor, other: Tensor, errors: float) -> bool:
    less, error = difference(losses, other)
    return less > errors * error
