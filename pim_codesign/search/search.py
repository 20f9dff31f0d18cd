"""`search`: bits and replication of every operator, and the chip, for (log loss, latency, energy, area).

Costs are computed for every point. Log losses, the expensive part, are measured for a budget of choices of bits and
estimated for the others; rounds of NSGA-II on the estimates decide which bits to measure next. The last two rounds use
measured bits only, and the reported points come from them: one round over all points, one over the points that cost no
more than the naive mapping in anything, which four objectives alone would leave thin. P points, n operators.
"""

from collections.abc import Callable, Mapping, MutableMapping

import numpy
from numpy.typing import NDArray
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.optimize import minimize

from pim_codesign.cost.model import evaluate_columns
from pim_codesign.hardware import PRESETS
from pim_codesign.mapping.mapping import ACTIVATION_BITS, WEIGHT_BITS
from pim_codesign.mapping.workload import Workload
from pim_codesign.search.config import CodesignConfig
from pim_codesign.search.genome import Genome, Genomes
from pim_codesign.search.pareto import non_dominated, spread
from pim_codesign.search.result import CodesignResult, Point, naive_point
from pim_codesign.search.surrogate import Surrogate, fit
from pim_codesign.search.variation import GenomeRepair, nsga2

Floats = NDArray[numpy.float64]
LogLoss = Callable[[dict[str, tuple[int, int]]], float]
"""Log loss of the model when each operator is quantized to (weight bits, activation bits)."""


def bits_key(bits: dict[str, tuple[int, int]]) -> str:
    """A choice of bits as one word: the key of a measured log loss.

    >>> bits_key({"blocks.0.dense.fc": (8, 6), "head": (4, 8)})
    'w8a6,w4a8'
    """
    return ",".join(f"w{weight}a{activation}" for weight, activation in bits.values())


def search(
    workload: Workload,
    log_loss: LogLoss,
    config: CodesignConfig,
    generator: numpy.random.Generator,
    measured: MutableMapping[str, float] | None = None,
    trained: Mapping[str, tuple[int, int]] | None = None,
) -> CodesignResult:
    """Search mappings and chips for a workload.

    `log_loss` is called once for each of at most `config.log_loss_measurements` choices of bits. `measured` (bits_key
    -> log loss) is read before each call and extended after it: a caller who keeps it can stop, and the same search
    resumes from it. `trained`: the bits that the model was trained with, which are measured second. The same generator
    state, workload, config and log losses give the same result. Raises ValueError when `log_loss` gives a number that
    is not finite, and where no mapping that was found is within the limits.
    """
    genome = Genome(workload, config.hardware, config.fixed)
    meter = _Meter(genome, log_loss, config.log_loss_measurements, {} if measured is None else measured)
    meter.measure(_first_bits(genome, config, generator, trained))
    population = _start(genome, config.population, generator)
    per_round = config.generations // (config.rounds + 2)
    for left in range(config.rounds, 0, -1):
        problem = _Codesign(genome, meter, config)
        population = _evolve(problem, population, per_round, config, generator, None)
        meter.measure(_promising_bits(problem, population, left))
    seeds = numpy.vstack([genome.naive(), _naive_chip(genome, meter.bits), population])
    found: list[Genomes] = []
    for problem in (_Codesign(genome, meter, config), _Codesign(genome, meter, config, nowhere_dearer=True)):
        start = _best(problem, numpy.vstack([seeds, *found]), meter.bits, config)
        found.append(_evolve(problem, start, per_round, config, generator, meter.bits))
    return _report(problem, numpy.unique(numpy.vstack(found), axis=0), config)


class NothingWithinLimits(ValueError):
    """No mapping that was found is within the limits that the configuration gives."""


class _Meter:
    """Measured log losses, and estimates of the others."""

    def __init__(self, genome: Genome, log_loss: LogLoss, budget: int, known: MutableMapping[str, float]) -> None:
        self.genome, self.log_loss, self.budget, self.known = genome, log_loss, budget, known
        self.found: dict[tuple[int, ...], float] = {}

    @property
    def bits(self) -> Genomes:
        """The measured choices of bits, in the order they were measured. [N, 2n]"""
        return numpy.array(list(self.found), dtype=numpy.int64)

    @property
    def naive(self) -> float:
        """Log loss with 8 bits everywhere."""
        return self.found[(8,) * (2 * self.genome.operators)]

    def measure(self, bits: Genomes) -> None:
        """Measure those of [N, 2n] that are new, within the budget."""
        for row in bits.tolist():
            if len(self.found) < self.budget and tuple(row) not in self.found:
                self.found[tuple(row)] = self._one(row)

    def _one(self, row: list[int]) -> float:
        n = self.genome.operators
        bits = dict(zip(self.genome.workload.operators, zip(row[:n], row[n:], strict=True), strict=True))
        key = bits_key(bits)
        if key not in self.known:
            self.known[key] = float(self.log_loss(bits))
        if not numpy.isfinite(self.known[key]):
            raise ValueError(f"the log loss measured at {key} is {self.known[key]}; check the quantized model's rows")
        return self.known[key]

    def estimator(self) -> Surrogate:
        """Fitted to what has been measured so far."""
        return fit(self.bits, numpy.array(list(self.found.values())), self.naive)


class _Codesign(Problem):
    """Objectives log loss, latency, energy and area, the last three as logarithms; limits on each, and on the power.

    The log loss may exceed the naive mapping's by little, the costs may not exceed the configuration's limits, and with
    `nowhere_dearer` neither the naive mapping's costs.
    """

    def __init__(self, genome: Genome, meter: _Meter, config: CodesignConfig, nowhere_dearer: bool = False) -> None:
        options = genome.options
        super().__init__(n_var=len(options), n_obj=4, n_ieq_constr=5, xl=0, xu=options - 1, vtype=int)
        self.genome, self.meter, self.config = genome, meter, config
        self.estimator = meter.estimator()
        given = [getattr(config, name) or numpy.inf for name in ("max_latency_us", "max_area_mm2", "max_power_w")]
        latency, area, power = numpy.log(given)
        self.asked = numpy.array([meter.naive + config.max_log_loss_increase, latency, numpy.inf, area, power])
        self.limits = self.asked
        if nowhere_dearer:
            naive = [*self.objectives(genome.naive()[None])[0], numpy.inf]
            self.limits = numpy.minimum(self.asked, [numpy.inf, *naive[1:]])

    def usable(self, genomes: Genomes, limits: Floats | None = None) -> NDArray[numpy.bool_]:
        """Which points are within the limits, by default all of them. [P]"""
        return numpy.asarray((self.limited(genomes) <= (self.limits if limits is None else limits)).all(axis=1))

    def limited(self, genomes: Genomes) -> Floats:
        """What has limits: the objectives, then the logarithm of the power. [P, 5]"""
        cost = evaluate_columns(self.genome.workload, *self.genome.columns(genomes))
        resolution = self.config.log_loss_resolution
        losses = numpy.round(self.log_losses(genomes) / resolution) * resolution
        costs = numpy.log(numpy.stack([cost.latency_us, cost.energy_nj, cost.area_mm2, cost.power_w], axis=1))
        return numpy.hstack([losses[:, None], costs])

    def log_losses(self, genomes: Genomes) -> Floats:
        """Log losses, measured where possible and estimated otherwise. [P]"""
        bits = self.genome.bits(genomes)
        pairs = zip(bits.tolist(), self.estimator.predict(bits).tolist(), strict=True)
        return numpy.array([self.meter.found.get(tuple(row), estimate) for row, estimate in pairs])

    def objectives(self, genomes: Genomes) -> Floats:
        """[P, 4]"""
        return self.limited(genomes)[:, :4]

    def _evaluate(self, x: Genomes, out: dict[str, Floats], *_: object, **__: object) -> None:
        limited = self.limited(x)
        out["F"] = limited[:, :4]
        out["G"] = numpy.maximum(limited - self.limits, -1.0)  # finite where there is no limit


def _first_bits(
    genome: Genome,
    config: CodesignConfig,
    generator: numpy.random.Generator,
    trained: Mapping[str, tuple[int, int]] | None,
) -> Genomes:
    """8 bits everywhere and those of the training; 6 and 4 everywhere, few for weights or activations alone, then
    random: a third of the budget."""
    n, operators = genome.operators, genome.workload.operators
    uniform = [[w] * n + [a] * n for w, a in ((8, 8), (6, 6), (4, 4), (4, 8), (8, 4))]
    if trained is not None:
        uniform.insert(1, [trained[name][kind] for kind in range(2) for name in operators])
    random = [
        [*generator.choice(WEIGHT_BITS, n).tolist(), *generator.choice(ACTIVATION_BITS, n).tolist()]
        for _ in range(max(0, config.log_loss_measurements // 3 - len(uniform)))
    ]
    return numpy.array(uniform + random, dtype=numpy.int64)


def _naive_chip(genome: Genome, bits: Genomes) -> Genomes:
    """The choices of bits [N, 2n] on the naive chip without replication."""
    return genome.set_bits(numpy.tile(genome.naive(), (len(bits), 1)), bits)


def _start(genome: Genome, points: int, generator: numpy.random.Generator) -> Genomes:
    """The naive point, random chips with its 8 bits, and random points."""
    random = genome.random(points - 1, generator)
    wide = points // 2
    random[:wide, : 2 * genome.operators] = genome.naive()[: 2 * genome.operators]
    return numpy.vstack([genome.naive(), random])


def _evolve(
    problem: _Codesign,
    start: Genomes,
    generations: int,
    config: CodesignConfig,
    generator: numpy.random.Generator,
    allowed_bits: Genomes | None,
) -> Genomes:
    """The population after `generations` of NSGA-II."""
    algorithm = nsga2(problem.genome, config.population, start, allowed_bits)
    seed = int(generator.integers(2**31))
    result = minimize(problem, algorithm, ("n_gen", generations), seed=seed, verbose=False)
    return numpy.asarray(result.pop.get("X"), dtype=numpy.int64)


def _promising_bits(problem: _Codesign, population: Genomes, rounds_left: int) -> Genomes:
    """New choices of bits to measure: usable points of the population, far from each other; equally many per round."""
    meter = problem.meter
    count = (meter.budget - len(meter.found)) // rounds_left
    bits = problem.genome.bits(population)
    new = numpy.array([tuple(row) not in meter.found for row in bits.tolist()])
    objectives = problem.objectives(population)
    usable = numpy.flatnonzero(new & problem.usable(population))
    if count == 0 or len(usable) == 0:
        return bits[:0]
    _, first = numpy.unique(bits[usable], axis=0, return_index=True)
    usable = usable[numpy.sort(first)]
    return bits[usable[spread(objectives[usable], count, keep=[])]]


def _best(problem: _Codesign, genomes: Genomes, allowed_bits: Genomes, config: CodesignConfig) -> Genomes:
    """Points to begin a last round with: bits set to the nearest measured ones, then the non-dominated ones, spread;
    where none is within the limits, the nearest to them."""
    repaired = GenomeRepair(problem.genome, allowed_bits).do(problem, Population.new(X=genomes)).get("X")
    usable = problem.usable(repaired)
    if not usable.any():
        excess = numpy.maximum(problem.limited(repaired) - problem.limits, 0).sum(axis=1)
        return repaired[numpy.argsort(excess, kind="stable")[: config.population]]
    repaired = repaired[usable]
    objectives = problem.objectives(repaired)
    front, naive = non_dominated(objectives), problem.objectives(problem.genome.naive()[None])[0]
    return repaired[front[spread(objectives[front], config.population, _extremes(objectives[front], naive))]]


def _report(problem: _Codesign, population: Genomes, config: CodesignConfig) -> CodesignResult:
    genome, meter = problem.genome, problem.meter
    measured = _naive_chip(genome, meter.bits)
    candidates = numpy.vstack([genome.naive(), measured, population])
    usable = problem.usable(candidates, problem.asked)
    if not usable.any():
        raise NothingWithinLimits(_nothing_within(problem, candidates, config))
    naive = problem.objectives(candidates[:1])[0]
    candidates = candidates[usable]
    objectives = problem.objectives(candidates)
    front = non_dominated(objectives)
    kept = front[spread(objectives[front], config.pareto_points, _extremes(objectives[front], naive))]
    by_energy = kept[numpy.argsort(objectives[kept, 2], kind="stable")]
    everything = [(row, f"bits {k}") for k, row in enumerate(measured, start=1)]
    everything += [(row, f"point {k}") for k, row in enumerate(population, start=1)]
    return CodesignResult(
        preset=config.preset,
        pareto=tuple(_point(problem, candidates[i], f"pareto {k}") for k, i in enumerate(by_energy, start=1)),
        evaluated=tuple(_point(problem, row, label) for row, label in everything),
        naive=naive_point(genome.workload, config.hardware, meter.naive),
        presets=tuple(naive_point(genome.workload, chip, meter.naive, name) for name, chip in PRESETS.items()),
        measurements=len(meter.found),
    )


def _nothing_within(problem: _Codesign, candidates: Genomes, config: CodesignConfig) -> str:
    """Why no mapping is within the limits, and what could be: the least of each that was found."""
    is_good_enough = problem.limited(candidates)[:, 0] <= problem.asked[0]  # the naive point's log loss is
    cost = evaluate_columns(problem.genome.workload, *problem.genome.columns(candidates[is_good_enough]))
    least = {"max_latency_us": cost.latency_us, "max_area_mm2": cost.area_mm2, "max_power_w": cost.power_w}
    found = "; ".join(
        f"codesign.{name} is {limit:g}, the least found is {float(least[name].min()):.4g}"
        for name, limit in config.cost_limits.items()
    )
    return (
        f"no mapping that was found is within all limits: {found} (each of another mapping, with a log loss at most "
        f"{config.max_log_loss_increase:g} above the naive one's); raise a limit, or allow a larger log loss"
    )


def _extremes(front: Floats, naive: Floats) -> list[int]:
    """The best of the front in each objective: of all, and of the points at least as good as the naive one in each."""
    better = numpy.flatnonzero((front <= naive).all(axis=1))
    groups = [numpy.arange(len(front)), better] if len(better) else [numpy.arange(len(front))]
    return [int(group[front[group, objective].argmin()]) for group in groups for objective in range(front.shape[1])]


def _point(problem: _Codesign, genome: Genomes, label: str) -> Point:
    mapping, hardware = problem.genome.decode(genome)
    cost = evaluate_columns(problem.genome.workload, *problem.genome.columns(genome[None])).row(0)
    log_loss = problem.meter.found[tuple(problem.genome.bits(genome[None])[0].tolist())]
    return Point(label, log_loss, cost, hardware, problem.genome.workload.operators, mapping)
