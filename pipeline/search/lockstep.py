"""The last layers of several networks fitted at the same time, on rows that lie on many ranks.

Every fit (pipeline/search/head_fit.py) is done on one rank, its home, which asks for readings of the rows. In a round
all fits ask once: the ranks learn the points, each reads its own pieces, and the sums go back. Sums are exact
(pipeline/search/exact_sum.py), so a head has the same bits on any number of ranks.

n networks, K pieces of rows held here, P features of a network's head, N = P + 1 numbers that are fitted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from pipeline.run.processes import Processes
from pipeline.search.exact_sum import Units, exact_sum
from pipeline.search.head_fit import Fit, Reading, Sums, curvature_rows, fit_head, start_of
from pipeline.search.head_rows import HeadRows, blocks_of, curved, piece_sums
from pipeline.search.scoring_config import ScoringConfig

Head = tuple[Tensor, Tensor]
"""Weight [P] and bias [1]."""

_HEADER = 4
"""Numbers of a message before the point: whether a reading is asked for, its rows' ends, whether with a gradient."""


class OnCores(Protocol):
    """The function of each item, in order, each on one core."""

    def __call__(self, function: Callable[[Any], Any], items: Sequence[Any], /) -> list[Any]:
        """The results."""


@dataclass
class _Ongoing:
    """A fit at its home."""

    fit: Fit
    reading: Reading | None = None
    """What it asks for; None: it has ended."""
    head: Head = field(default_factory=lambda: (torch.empty(0), torch.empty(0)))

    def go_on(self, sums: Sums | None) -> None:
        """Take the sums, None at the beginning, and ask for the next reading."""
        try:
            self.reading = self.fit.send(sums)  # type: ignore[arg-type]
        except StopIteration as end:
            self.reading, self.head = None, end.value


def fit_heads(
    heads: Sequence[Head], rows: Sequence[HeadRows], config: ScoringConfig, processes: Processes, on_cores: OnCores
) -> list[Head]:
    """Weights and biases in float64, fitted from the networks' own; on every rank. A collective.

    `rows[i]`: the features of network i, of the rows held by this rank; all networks have the same rows.
    """
    if not heads:
        return []
    home = [number % processes.world_size == processes.rank for number in range(len(heads))]
    starts = [start_of(*head) for head in heads]
    blocks = _curvature(starts, rows, home, processes, on_cores)
    count, pieces = len(rows[0].rows), len(rows[0].rows.pieces)
    fits = {
        number: _Ongoing(fit_head(count, *heads[number], blocks[number], config))
        for number, is_home in enumerate(home)
        if is_home
    }
    on_cores(lambda one: one.go_on(None), list(fits.values()))
    while True:
        readings = _asked(fits, starts, processes)
        if not any(readings):
            break
        _answer(fits, readings, rows, pieces, processes, on_cores)
    return _everywhere({number: one.head for number, one in fits.items()}, starts, processes)


def _asked(fits: dict[int, _Ongoing], starts: Sequence[Tensor], processes: Processes) -> list[Reading | None]:
    """What every fit asks for: sums of messages of which all but the home's are zero."""
    messages = [start.new_zeros(_HEADER + len(start)) for start in starts]
    for number, one in fits.items():
        if (reading := one.reading) is not None:
            header = torch.tensor([1, reading.start, reading.stop, reading.has_gradient])
            messages[number] += torch.cat([header.to(reading.point), reading.point])
    sizes = [len(message) for message in messages]
    found: list[Reading | None] = []
    for message in processes.reduced(torch.cat(messages), "total").split(sizes):
        is_asked, start, stop, has_gradient = message[:_HEADER].tolist()
        reading = Reading(message[_HEADER:], int(start), int(stop), bool(has_gradient))
        found.append(reading if is_asked else None)
    return found


def _answer(
    fits: dict[int, _Ongoing],
    readings: Sequence[Reading | None],
    rows: Sequence[HeadRows],
    pieces: int,
    processes: Processes,
    on_cores: OnCores,
) -> None:
    """Read the rows for all that ask, and let their homes go on."""
    asking = [(number, reading) for number, reading in enumerate(readings) if reading is not None]
    parts = on_cores(lambda one: piece_sums(rows[one[0]], one[1]), asking)
    most = max(len(part) for part in parts)  # a fit's reading of fewer pieces gets zeros for the others
    padded = [torch.cat([part, part.new_zeros(most - len(part), part.shape[1])]) for part in parts]
    sums = exact_sum(torch.cat(padded, dim=1), pieces, processes)
    own = dict(zip((number for number, _ in asking), sums.split([part.shape[1] for part in parts]), strict=True))
    going = [number for number in fits if number in own]
    on_cores(lambda number: fits[number].go_on((float(own[number][-1]), own[number][:-1])), going)


def _curvature(
    starts: Sequence[Tensor], rows: Sequence[HeadRows], home: Sequence[bool], processes: Processes, on_cores: OnCores
) -> list[list[Tensor]]:
    """Diagonal blocks of the Hessian of the first rows' mean log loss at the supernet's head, of each network; empty
    where this rank is not its home.

    Products of features are made in float32 and added exactly: their bound is that of the columns.
    """
    stop = curvature_rows(len(rows[0].rows))

    def largest(number: int) -> Tensor:
        bound = torch.zeros_like(starts[number])
        for own in curved(rows[number], stop, starts[number]):
            size = own.abs().double()
            bound = torch.maximum(bound, torch.where(size.isfinite(), size, torch.inf).amax(0))
        return bound

    bounds = processes.reduced(torch.cat(on_cores(largest, range(len(starts)))), "largest").split([*map(len, starts)])

    def multiples(number: int) -> list[Tensor]:
        units = [_units(part, stop) for part in blocks_of(bounds[number])]
        totals = [torch.zeros_like(one.unit) for one in units]
        for own in curved(rows[number], stop, starts[number]):
            for total, unit, part in zip(totals, units, blocks_of(own), strict=True):
                total += unit.multiples((part.t() @ part).double())
        return totals

    found: list[list[Tensor]] = []
    for number, totals in enumerate(on_cores(multiples, range(len(starts)))):
        units = [_units(part, stop) for part in blocks_of(bounds[number])]
        summed = [processes.reduced(total, "total") for total in totals]
        blocks = [unit.total(total) / stop for unit, total in zip(units, summed, strict=True)]
        found.append(blocks if home[number] else [])
    return found


def _units(columns: Tensor, rows: int) -> Units:
    """For sums of so many products of two columns [N]; of one row more, for what float32 and the units round."""
    return Units.of((rows + 1) * columns[:, None] * columns)


def _everywhere(own: dict[int, Head], starts: Sequence[Tensor], processes: Processes) -> list[Head]:
    """All heads on every rank, each from its home."""
    points = [torch.zeros_like(start) for start in starts]
    for number, head in own.items():
        points[number] = torch.cat(head)
    whole = processes.reduced(torch.cat(points), "total").split([len(start) for start in starts])
    return [(point[:-1], point[-1:]) for point in whole]
