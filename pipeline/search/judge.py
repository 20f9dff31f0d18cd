"""Groups of candidates scored together: heads fitted, losses row by row, and who goes on to more rows.

All ranks have the same rows. Each fits a part of the heads; then all ranks and their cores share the validation rows,
chunk by chunk, and each chunk is read by all candidates that are still judged: what they compute alike is computed once
(modules/supernet/siblings.py). Every sum is made on one core in one order, so a score has the same bits on any number
of ranks and threads. A candidate that is judged on all rows has the score that `score` gives it alone.

n candidates, R validation rows, r of them that were judged so far, P features that a head reads.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from modules.space import Architecture
from modules.supernet import Siblings, Subnet, Supernet, extract
from pipeline.run.processes import Processes, cpu_threads
from pipeline.run.records.candidates import Candidate, best_candidates
from pipeline.search.config import ScoringConfig
from pipeline.search.published import train_heads
from pipeline.search.racing import Score, settle, survivors
from pipeline.search.scoring import Head, features_of, fitted_head, is_kept, own_head, pieces, row_losses
from pipeline.training.frozen_rows import FrozenRows

T = TypeVar("T")
S = TypeVar("S")

FITTED_TOGETHER = 4
"""Candidates whose features are held at the same time, where there are no more threads."""


class Judge:
    """Scores the groups of candidates of one search, one group after the other.

    All it remembers is row losses of the best candidates, which it computes again where it has not got them: what it
    says of a group follows from the group and from the candidates before it.
    """

    def __init__(
        self,
        supernet: Supernet,
        fine_tune: FrozenRows | None,
        valid: FrozenRows,
        config: ScoringConfig,
        processes: Processes,
        places: int,
    ) -> None:
        """`places`: winners that the search will have, at least 1; others are compared with the last of them."""
        self._supernet, self._fine_tune, self._valid = supernet, fine_tune, valid
        self._config, self._processes, self._places = config, processes, places
        self._cores = torch.get_num_threads() if processes.device.type == "cpu" else 1
        self._losses: dict[Architecture, Tensor] = {}

    def scores(self, architectures: Sequence[Architecture], before: tuple[Candidate, ...]) -> list[Score]:
        """Scores of the architectures, in order, on every rank. `before`: the candidates of all groups before."""
        if not architectures:
            return []
        rows = len(self._valid)
        with cpu_threads(1):  # a sum's last bits depend on the threads that share it
            contenders = self._contenders(before)
            judged = self._judged(architectures, contenders)
            self._losses |= {
                one: losses for one, losses in zip(architectures, judged, strict=True) if len(losses) == rows
            }
            return settle(judged, contenders, self._places, rows)

    def _contenders(self, before: tuple[Candidate, ...]) -> list[Tensor]:
        """Losses [R] of the best candidates that were judged on all rows, best first."""
        whole = tuple(one for one in before if one.judged_rows == len(self._valid))
        best = [one.architecture for one in best_candidates(whole, self._places)]
        missing = [one for one in best if one not in self._losses]  # the search was stopped, and begun again
        computed = self._judged(missing, None) if missing else []
        known = self._losses | dict(zip(missing, computed, strict=True))
        self._losses = {one: known[one] for one in best}
        return list(self._losses.values())

    def _judged(self, architectures: Sequence[Architecture], contenders: Sequence[Tensor] | None) -> list[Tensor]:
        """Each one's losses [r] on the rows that it is judged on; without `contenders` all are judged on all rows."""
        networks = [extract(self._supernet, one).eval() for one in architectures]
        heads, rows = self._heads(architectures, networks), len(self._valid)
        losses = [torch.empty(rows, device=self._valid.label.device) for _ in networks]  # touched as far as judged
        running, judged = tuple(range(len(networks))), [0] * len(networks)
        for share in pieces(rows, self._config):
            _, end = share[-1]
            siblings = Siblings(
                self._supernet, [architectures[place] for place in running], [networks[place] for place in running]
            )
            self._read(siblings, [heads[place] for place in running], share, [losses[place] for place in running])
            for place in running:
                judged[place] = end
            if contenders is not None and end < rows:
                own, known = {place: losses[place][:end] for place in running}, [one[:end] for one in contenders]
                running = survivors(own, known, self._places, self._config.stop_errors)
            if not running:
                break
        return [own[:end] for own, end in zip(losses, judged, strict=True)]

    def _read(
        self, siblings: Siblings, heads: Sequence[Head], share: Sequence[tuple[int, int]], losses: Sequence[Tensor]
    ) -> None:
        """Fill in the networks' losses, [R] of each, on a share of the rows, which ranks and cores divide."""
        rank, world_size = self._processes.rank, self._processes.world_size

        def read(ends: tuple[int, int]) -> Tensor:
            return row_losses(siblings.features, heads, self._valid.part(*ends)).cpu()

        everywhere = self._gathered(self._on_cores(read, share[rank::world_size]))
        for index, ends in enumerate(share):
            part = everywhere[index % world_size][index // world_size]  # [running, r]
            for own, found in zip(losses, part, strict=True):
                own[slice(*ends)] = found.to(own.device)

    def _heads(self, architectures: Sequence[Architecture], networks: Sequence[Subnet]) -> list[Head]:
        """Every network's last layer after it is fitted; a rank fits neighbours, which have most in common."""
        rank, world_size, count = self._processes.rank, self._processes.world_size, len(networks)
        rows = self._fine_tune
        if rows is None:
            return [own_head(network) for network in networks]
        own = slice(count * rank // world_size, count * (rank + 1) // world_size)
        if self._config.protocol == "published":
            found = self._published(architectures[own], networks[own], rows)
        else:
            found = self._fitted(architectures[own], networks[own], rows)
        everywhere = self._gathered([(weight.cpu(), bias.cpu()) for weight, bias in found])
        device = rows.label.device
        return [(weight.to(device), bias.to(device)) for part in everywhere for weight, bias in part]

    def _fitted(
        self, architectures: Sequence[Architecture], networks: Sequence[Subnet], rows: FrozenRows
    ) -> list[Head]:
        """A few networks at a time: their features first, where they are kept, then a head on each core."""
        heads, size = list[Head](), max(FITTED_TOGETHER, self._cores)
        for start in range(0, len(networks), size):
            group = networks[start : start + size]
            kept = self._kept(architectures[start : start + size], group, rows)

            def fit(place: int, group: Sequence[Subnet] = group, kept: list[list[Tensor]] = kept) -> Head:
                own, kept[place] = kept[place], []  # they are dropped when this head is fitted
                return fitted_head(group[place], rows, own, self._config)

            heads += self._on_cores(fit, range(len(group)))
        return heads

    def _kept(
        self, architectures: Sequence[Architecture], networks: Sequence[Subnet], rows: FrozenRows
    ) -> list[list[Tensor]]:
        """Features [r, P] of every chunk, of each network; none of a network whose features are too many."""
        found: list[list[Tensor]] = [[] for _ in networks]
        small = [place for place, network in enumerate(networks) if is_kept(network, rows, self._config)]
        if small:
            siblings = Siblings(
                self._supernet, [architectures[place] for place in small], [networks[place] for place in small]
            )
            for parts in self._on_cores(lambda chunk: features_of(siblings.features, chunk), rows.chunks()):
                for place, part in zip(small, parts, strict=True):
                    found[place].append(part)
        return found

    def _published(
        self, architectures: Sequence[Architecture], networks: Sequence[Subnet], rows: FrozenRows
    ) -> list[Head]:
        """Each core trains the heads of neighbours, step by step."""
        count, cores = len(networks), min(self._cores, len(networks))
        parts = [slice(count * core // cores, count * (core + 1) // cores) for core in range(cores)]

        def train(part: slice) -> list[Head]:
            siblings = Siblings(self._supernet, architectures[part], networks[part])
            return train_heads(siblings.features, [own_head(one) for one in networks[part]], rows, self._config)

        return [head for found in self._on_cores(train, parts) for head in found]

    def _on_cores(self, function: Callable[[T], S], items: Sequence[T]) -> list[S]:
        """The function of each item, in order, each on one core; on a GPU one after the other."""
        if self._cores == 1:
            return [function(item) for item in items]
        with ThreadPoolExecutor(self._cores) as pool:
            return list(pool.map(function, items))

    def _gathered(self, values: list[T]) -> list[list[T]]:
        """Every rank's values."""
        return [values] if self._processes.world_size == 1 else self._processes.gather(values)
