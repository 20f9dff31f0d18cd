"""The planted click model behind the generated logs: what a row looks like and its exact click probability.

    logit = bias + main effects + Σ pairs <u_f, u_g> + Σ triples Σ_k u_f u_g u_h + Σ integer × category + weekly drift

A linear model can learn the main effects only; the other terms have mean zero given either of their columns alone, so
they reward an architecture that multiplies columns. Interactions live on columns whose frequent values occur often
enough to be learned from about 100,000 rows. Shapes: n rows, k = LATENT factors.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

CARDINALITIES = (
    *(1_400, 500, 20_000, 20_000, 300, 24, 12_000, 600, 3, 20_000, 5_600, 20_000, 3_000),
    *(27, 15_000, 20_000, 10, 5_600, 2_000, 4, 20_000, 18, 15, 20_000, 100, 20_000),
)
"""Distinct values of each category: Criteo Kaggle's, the long ones cut off at 20,000."""
ZIPF_EXPONENT = (1.2, 1.6)
"""Lowest and highest exponent of the categories' Zipf distributions."""
PAIRS = ((0, 4), (1, 5), (4, 13), (5, 16), (7, 21), (13, 22), (16, 24), (8, 19))
"""Categories whose inner product counts."""
TRIPLES = ((4, 5, 13), (16, 21, 22), (8, 13, 24))
"""Categories whose product of three counts."""
GATES = ((0, 5), (3, 13), (6, 4), (9, 16), (11, 24))
"""(integer, category): the integer's effect is multiplied by a number of the category's value."""
ROTATING = (2, 9, 14, 20)
"""Categories whose popular values change from day to day, as advertisements come and go."""
LATENT = 2
"""k, factors of a value."""
STRENGTH = {"main": 0.8, "integers": 0.5, "pairs": 1.1, "triples": 0.5, "gates": 0.5}
"""Standard deviation of each part of the logit."""
DAY_DRIFT = 0.05
"""Amplitude of the logit's weekly swing; small, as no column tells the day."""
BASE_RATE = 0.25
"""Mean click probability."""
NUM_INTEGERS, NUM_CATEGORIES = 13, len(CARDINALITIES)


@dataclasses.dataclass(frozen=True)
class RawRows:
    """Rows before they are written: values, and the exact probability each label was drawn with."""

    integers: npt.NDArray[np.int64]
    """[13, n]."""
    integer_missing: npt.NDArray[np.bool_]
    """[13, n]."""
    categories: npt.NDArray[np.int32]
    """[26, n]: 0 = missing, v = the v-th value of the column."""
    probability: npt.NDArray[np.float64]
    """[n], of a click."""
    label: npt.NDArray[np.int8]
    """[n], 0 or 1."""


class PlantedModel:
    """Distributions and effects, all drawn from one seed."""

    def __init__(self, seed: int) -> None:
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 0])))
        draw = generator.standard_normal
        self.seed = seed
        self.exponent = generator.uniform(*ZIPF_EXPONENT, size=NUM_CATEGORIES)
        self.category_missing = np.where(
            generator.random(NUM_CATEGORIES) < 0.4, generator.uniform(0.01, 0.4, NUM_CATEGORIES), 0.0
        )
        self.integer_missing = np.where(
            generator.random(NUM_INTEGERS) < 0.6, generator.uniform(0.02, 0.4, NUM_INTEGERS), 0.0
        )
        self.integer_mean = generator.uniform(0.5, 5.0, NUM_INTEGERS)
        self.integer_spread = generator.uniform(0.6, 1.6, NUM_INTEGERS)
        self.integer_effect = draw(NUM_INTEGERS).astype(np.float32)
        self.integer_missing_effect = draw(NUM_INTEGERS).astype(np.float32)
        # Index 0 is the missing value, which has an effect and factors of its own. Long columns say little: most of
        # their values are too rare for any model to learn.
        self.main = [
            draw(rows + 1).astype(np.float32) * np.float32(0.3 if rows > 3_000 else 1.0) for rows in CARDINALITIES
        ]
        self.factors = [draw((rows + 1, LATENT)).astype(np.float32) for rows in CARDINALITIES]
        self.gate = [draw(rows + 1).astype(np.float32) for rows in CARDINALITIES]
        self.scale = dict.fromkeys(STRENGTH, 1.0)
        self.centre = dict.fromkeys(STRENGTH, 0.0)
        self.bias = 0.0
        self._calibrate(generator)

    def _calibrate(self, generator: np.random.Generator) -> None:
        """Sets each part's strength and the base rate on a sample of its own."""
        rows = self._draw_columns(generator, np.zeros(40_000, dtype=np.int64))
        parts = self.parts(*rows)
        for name, strength in STRENGTH.items():
            self.centre[name] = float(parts[name].mean(dtype=np.float64))
            self.scale[name] = strength / float(parts[name].std(dtype=np.float64))
        logit = self.logit(*rows)
        low, high = -20.0, 20.0
        for _ in range(60):  # bisection: the mean probability grows with the bias
            self.bias = (low + high) / 2
            if _sigmoid(logit + self.bias).mean() > BASE_RATE:
                high = self.bias
            else:
                low = self.bias

    def block(self, number: int, first_row: int, rows: int, rows_per_day: int) -> RawRows:
        """Block `number`, the same whatever is generated before or after it."""
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, 1, number])))
        day = (first_row + np.arange(rows, dtype=np.int64)) // rows_per_day
        integers, missing, categories = self._draw_columns(generator, day)
        drift = DAY_DRIFT * np.sin(day * (2 * np.pi / 7))
        probability = _sigmoid(self.logit(integers, missing, categories) + self.bias + drift)
        label = (generator.random(rows) < probability).astype(np.int8)
        return RawRows(integers, missing, categories, probability, label)

    def _draw_columns(
        self, generator: np.random.Generator, day: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.int32]]:
        """Integers [13, n], where they are missing [13, n], categories [26, n]."""
        n = len(day)
        normal = generator.standard_normal((NUM_INTEGERS, n), dtype=np.float32)
        drifting_mean = self.integer_mean[:, None] + 0.02 * day  # counts grow by 2 % a day
        integers = np.exp(drifting_mean + self.integer_spread[:, None] * normal).astype(np.int64) - 1
        missing = generator.random((NUM_INTEGERS, n), dtype=np.float32) < self.integer_missing[:, None]
        categories = np.empty((NUM_CATEGORIES, n), dtype=np.int32)
        for column, size in enumerate(CARDINALITIES):
            # The inverse of the distribution function of the density x^-s on [1, size + 1): Zipf by its integer part.
            power = 1.0 - self.exponent[column]
            uniform = generator.random(n, dtype=np.float32)
            rank = (1.0 + uniform * ((size + 1.0) ** power - 1.0)) ** (1.0 / power)
            value = np.minimum(rank.astype(np.int64), size) - 1
            if column in ROTATING:
                value = (value + day * (size // 50)) % size
            categories[column] = value + 1
            if self.category_missing[column]:
                categories[column, generator.random(n, dtype=np.float32) < self.category_missing[column]] = 0
        return integers, missing, categories

    def parts(
        self, integers: npt.NDArray[np.int64], missing: npt.NDArray[np.bool_], categories: npt.NDArray[np.int32]
    ) -> dict[str, Array]:
        """The unscaled parts of the logit, each [n]."""
        n = categories.shape[1]
        size = np.log1p(np.maximum(integers, 0).astype(np.float32))  # [13, n]
        response = np.tanh(size - self.integer_mean[:, None].astype(np.float32))
        response[missing] = 0
        main = np.zeros(n, np.float32)
        for column, effect in enumerate(self.main):
            main += effect[categories[column]]
        missing_effect = self.integer_missing_effect @ missing.astype(np.float32)
        needed = sorted({column for group in (*PAIRS, *TRIPLES) for column in group})
        u = {column: self.factors[column][categories[column]] for column in needed}  # each [n, k]
        pairs, triples, gates = (np.zeros(n, np.float32) for _ in range(3))
        for f, g in PAIRS:
            pairs += np.einsum("nk,nk->n", u[f], u[g])
        for f, g, h in TRIPLES:
            triples += np.einsum("nk,nk,nk->n", u[f], u[g], u[h])
        for integer, column in GATES:
            gates += response[integer] * self.gate[column][categories[column]]
        integer_part = self.integer_effect @ response + missing_effect
        return {"main": main, "integers": integer_part, "pairs": pairs, "triples": triples, "gates": gates}

    def logit(
        self, integers: npt.NDArray[np.int64], missing: npt.NDArray[np.bool_], categories: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.float64]:
        """Logit [n] without bias and drift."""
        parts = self.parts(integers, missing, categories)
        total = np.zeros(categories.shape[1], np.float64)
        for name, part in parts.items():
            total += (part - self.centre[name]) * self.scale[name]
        return total


def _sigmoid(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-x))
