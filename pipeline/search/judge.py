"""Groups of candidates scored together: heads fitted, losses row by row, and who goes on to more rows.

The ranks share out the rows, piece by piece, and each keeps only its own. Heads are fitted together, on all ranks
(pipeline/search/lockstep.py). Then each piece of the validation rows is read, where it is held, by all candidates that
are still judged: what they compute alike is computed once (modules/supernet/siblings.py). Every sum is made on one core
in one order, or exactly, so a score has the same bits on any number of ranks and threads. A candidate that is judged on
all rows has the score that `score` gives it alone.

n candidates, R validation rows, r of them that were judged so far, P features that a head reads.
"""

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from modules.space import Architecture
from modules.supernet import Siblings, Subnet, Supernet, extract
from pipeline.run.processes import Processes, cpu_threads
from pipeline.run.records.candidates import Candidate, best_candidates
from pipeline.search.head_rows import HeadRows
from pipeline.search.lockstep import Head
from pipeline.search.published import train_heads
from pipeline.search.racing import Score, settle, survivors
from pipeline.search.scoring import features_of, fitted_heads, is_kept, own_head, pieces, row_losses, valid_pieces
from pipeline.search.scoring_config import ScoringConfig
from pipeline.training.frozen_rows import FrozenRows, HeldRows, Piece

T = TypeVar("T")
S = TypeVar("S")

FITTED_TOGETHER = 4
"""Candidates of a rank whose features are held at the same time, where it has no more threads."""


class Judge:
    """Scores the groups of candidates of one search, one group after the other.

    All it remembers is row losses of the best candidates, which it computes again where it has not got them: what it
    says of a group follows from the group and from the candidates before it.
    """

    def __init__(
        self,
        supernet: Supernet,
        fine_tune: HeldRows | None,
        valid: HeldRows,
        config: ScoringConfig,
        processes: Processes,
        places: int,
    ) -> None:
        """`valid`: in the pieces that `valid_pieces` says. `fine_tune`: shared out too, but by the published protocol,
        whose steps follow one another, all rows on every rank. `places`: winners that the search will have, at least 1;
        others are compared with the last of them."""
        assert list(valid.pieces) == valid_pieces(len(valid), config)
        assert fine_tune is None or fine_tune.ranks == (1 if config.protocol == "published" else processes.world_size)
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
        device = self._valid.rows.label.device
        losses = [torch.empty(rows, device=device) for _ in networks]  # touched as far as judged
        running, judged = tuple(range(len(networks))), [0] * len(networks)
        for share in pieces(rows, self._config):
            (start, _), (_, end) = share[0], share[-1]
            siblings = Siblings(
                self._supernet, [architectures[place] for place in running], [networks[place] for place in running]
            )
            self._read(siblings, [heads[own] for own in running], (start, end), [losses[own] for own in running])
            for place in running:
                judged[place] = end
            if contenders is not None and end < rows:
                own, known = {place: losses[place][:end] for place in running}, [one[:end] for one in contenders]
                running = survivors(own, known, self._places, self._config.stop_errors)
            if not running:
                break
        return [own[:end] for own, end in zip(losses, judged, strict=True)]

    def _read(self, siblings: Siblings, heads: Sequence[Head], ends: Piece, losses: Sequence[Tensor]) -> None:
        """Fill in the networks' losses, [R] of each, on some of the rows, each rank and core on its own pieces."""

        def read(held: tuple[int, Piece, FrozenRows]) -> Tensor:
            return row_losses(siblings.features, heads, held[-1]).cpu()

        held = list(self._valid.held(*ends))
        parts = zip([piece for _, piece, _ in held], self._on_cores(read, held), strict=True)
        for rank in self._gathered(list(parts)):
            for piece, part in rank:  # [running, r]
                for own, found in zip(losses, part, strict=True):
                    own[slice(*piece)] = found.to(own.device)

    def _heads(self, architectures: Sequence[Architecture], networks: Sequence[Subnet]) -> list[Head]:
        """Every network's last layer after it is fitted."""
        rows = self._fine_tune
        if rows is None:
            return [own_head(network) for network in networks]
        if self._config.protocol == "published":
            return self._published(architectures, networks, rows.rows)
        heads, size = list[Head](), max(FITTED_TOGETHER, self._cores) * self._processes.world_size
        for start in range(0, len(networks), size):
            group = networks[start : start + size]
            kept = self._kept(architectures[start : start + size], group, rows)
            features = [HeadRows(*one) for one in zip(group, [rows] * len(group), kept, strict=True)]
            heads += fitted_heads(group, features, self._config, self._processes, self._on_cores)
        return heads

    def _kept(
        self, architectures: Sequence[Architecture], networks: Sequence[Subnet], rows: HeldRows
    ) -> list[list[Tensor]]:
        """Features [r, P] of every piece held here, of each network; none of a network whose features are too many."""
        found: list[list[Tensor]] = [[] for _ in networks]
        small = [place for place, network in enumerate(networks) if is_kept(network, rows, self._config)]
        if small:
            siblings = Siblings(
                self._supernet, [architectures[place] for place in small], [networks[place] for place in small]
            )
            held = [part for _, _, part in rows.held(0, len(rows))]
            for parts in self._on_cores(lambda part: features_of(siblings.features, part), held):
                for place, part in zip(small, parts, strict=True):
                    found[place].append(part)
        return found

    def _published(
        self, architectures: Sequence[Architecture], networks: Sequence[Subnet], rows: FrozenRows
    ) -> list[Head]:
        """Each rank and core trains the heads of neighbours, which have most in common, step by step."""
        rank, ranks, count = self._processes.rank, self._processes.world_size, len(networks)
        first, end = count * rank // ranks, count * (rank + 1) // ranks
        cores = max(1, min(self._cores, end - first))
        bounds = [first + (end - first) * core // cores for core in range(cores + 1)]

        def train(part: slice) -> list[Head]:
            siblings = Siblings(self._supernet, architectures[part], networks[part])
            return train_heads(siblings.features, [own_head(one) for one in networks[part]], rows, self._config)

        own = [slice(*ends) for ends in itertools.pairwise(bounds) if ends[0] < ends[1]]
        trained = [(weight.cpu(), bias.cpu()) for found in self._on_cores(train, own) for weight, bias in found]
        device = rows.label.device
        return [(weight.to(device), bias.to(device)) for part in self._gathered(trained) for weight, bias in part]

    def _on_cores(self, function: Callable[[T], S], items: Sequence[T]) -> list[S]:
        """The function of each item, in order, each on one core; on a GPU one after the other."""
        if self._cores == 1:
            return [function(item) for item in items]
        with ThreadPoolExecutor(self._cores) as pool:
            return list(pool.map(function, items))

    def _gathered(self, values: list[T]) -> list[list[T]]:
        """Every rank's values."""
        return [values] if self._processes.world_size == 1 else self._processes.gather(values)
