"""Which of many possible networks are worth judging: trees boosted on the networks that were judged.

After two or three dozen screened networks, what a network is made of says a good part of how it will do: over three
races on the default log, trees fitted on the entrants order the children of the first generation with a Kendall's τ of
.3 to .8 (DECISIONS.md, 2026-11-30). A prediction takes milliseconds and a screening seconds, so a generation draws many
more children than it screens; searches on a supernet may do the same (predicted.py, metropolis.py).

Predictors in architecture search: CSCO (arXiv:2404.17152), PIDS (arXiv:2211.15759). K networks, P properties.
"""

import functools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import lightgbm
import numpy
import numpy.typing as npt

from modules.operators import InputShape
from modules.space import Architecture, elementwise_operations, multiply_accumulates, parameter_count
from modules.space.plan import Part, plan

FEWEST = 16
"""Screened networks below which nothing is predicted."""
TREES = 60
"""Trees of a predictor."""
SETTINGS: dict[str, Any] = {
    "objective": "l2",
    "learning_rate": 0.1,
    "max_depth": 2,
    "num_leaves": 4,
    "min_data_in_leaf": 1,
    "min_data_in_bin": 1,
    "min_sum_hessian_in_leaf": 0.0,
    "feature_pre_filter": False,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
"""LightGBM's, for a few dozen rows: small trees, each on a part of the networks and of the properties."""
HEADROOM = 0.002
"""Nats per row below the least loss, from which losses are counted: their logarithm tells good networks apart, and the
many that are far off do not matter by how much."""


@functools.lru_cache(maxsize=4096)
def properties(architecture: Architecture, shape: InputShape) -> Mapping[str, float]:
    """What a network is made of, as numbers by name: for each operator that is live how often it occurs, how large it
    is, how much it reads and how often the stem is among that; and the sizes and the depth of the whole.

    Two networks that compute the same have the same properties, since dead parts are not looked at. It takes
    milliseconds, and a search asks for the same networks again, so those of the last ones are kept.
    """
    found: defaultdict[str, float] = defaultdict(float)
    parts = plan(architecture, shape)
    depths: dict[tuple[str, int | None], int] = {}
    for part in parts:
        reads, name = part.operator.reads(part.block), part.operator.name
        depth = 1 + max((depths.get((read.side, read.output), 0) for read in reads), default=0)
        _deepen(depths, part, depth)
        found[name] += 1
        found[f"{name} size"] += math.log2(1 + part.multiply_accumulates)
        found[f"{name} reads"] += len(reads)
        found[f"{name} reads of the stem"] += sum(read.output == 0 for read in reads)
        found["depth"] = depth  # that of the head, the last part, stays
    found["parts"] = len(parts)
    found["multiply-accumulates"] = math.log2(1 + multiply_accumulates(architecture, shape))
    found["elementwise operations"] = math.log2(1 + elementwise_operations(architecture, shape))
    found["parameters"] = math.log2(1 + parameter_count(architecture, shape))
    return MappingProxyType(dict(found))


def _deepen(depths: dict[tuple[str, int | None], int], part: Part, depth: int) -> None:
    """Take down how many operators lie between the rows and an output of a block; a merger's is its target's."""
    side = "dense" if part.operator.branch in ("dense", "sparse_to_dense") else "sparse"
    if part.number:
        depths[side, part.number] = max(depths.get((side, part.number), 0), depth)


class Predictor:
    """Predicts how far networks are from the best known one, by trees fitted on the known ones.

    `known`: networks with their log losses, by one fidelity; at least two.
    """

    def __init__(self, known: Sequence[tuple[Architecture, float]], shape: InputShape, seed: int) -> None:
        self._shape = shape
        found = [properties(own, shape) for own, _ in known]
        self._names = sorted({name for own in found for name in own})
        settings = {**SETTINGS, "seed": seed}
        dataset = lightgbm.Dataset(_matrix(found, self._names), _excess([loss for _, loss in known]), params=settings)
        self._trees = lightgbm.train(settings, dataset, TREES)

    def excess(self, architecture: Architecture) -> float:
        """The logarithm of the predicted log loss less the least known one and `HEADROOM`: a difference of .1 is one
        of 10 % of what is left to the best."""
        row = _matrix([properties(architecture, self._shape)], self._names)
        return float(numpy.asarray(self._trees.predict(row))[0])


def promising(
    known: Sequence[tuple[Architecture, float]],
    possible: Sequence[Architecture],
    count: int,
    shape: InputShape,
    seed: int,
) -> list[int]:
    """Places of `count` of the possible networks: each the choice of a predictor of its own, fitted on another part of
    the known ones, so that they differ where little is known. The first ones, where too few networks are known.

    `known`: networks with their log losses after trainings of one form.
    """
    count = min(count, len(possible))
    if len(known) < FEWEST or count == len(possible):
        return list(range(count))
    found = [properties(own, shape) for own in (*(own for own, _ in known), *possible)]
    rows = _matrix(found, sorted({name for own in found for name in own}))
    target = _excess([loss for _, loss in known])
    chosen: list[int] = []
    for number in range(count):
        settings = {**SETTINGS, "seed": seed + number}
        trees = lightgbm.train(settings, lightgbm.Dataset(rows[: len(known)], target, params=settings), TREES)
        order = numpy.argsort(numpy.asarray(trees.predict(rows[len(known) :])), kind="stable")
        chosen.append(next(int(place) for place in order if place not in chosen))
    return chosen


def _excess(losses: Sequence[float]) -> npt.NDArray[numpy.float64]:
    """What is predicted of each network."""
    found = numpy.array(losses)
    return numpy.log(found - found.min() + HEADROOM)


def _matrix(networks: Sequence[Mapping[str, float]], names: Sequence[str]) -> npt.NDArray[numpy.float64]:
    """[K, P]; what a network does not have is 0."""
    return numpy.array([[own.get(name, 0.0) for name in names] for own in networks])
