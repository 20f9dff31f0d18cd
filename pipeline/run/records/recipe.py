"""How a network is trained, as a value: what a race tries, what results.json and model.json keep."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

WIDTH_STEP = 4
"""Widths of embedding tables are multiples of it: FBGEMM's kernels refuse others."""


MOST_BINS = 16
"""Bins of a numeric column whose numbers are encoded."""
ENCODED_INPUTS = 512
"""A log of many numeric columns has fewer bins a column, so that networks get about so many numbers."""
Numbers = Literal["standardized", "piecewise"]
"""What networks read in the place of the numeric columns."""


def number_bins(columns: int) -> int:
    """Bins T of each of so many encoded numeric columns, at least 2.

    >>> number_bins(13), number_bins(64), number_bins(1_000)
    (16, 6, 2)
    """
    return max(2, min(MOST_BINS, ENCODED_INPUTS // max(columns, 1) - 2))


def numbers_read(numbers: Numbers, columns: int) -> int:
    """How many numbers networks are given for so many numeric columns (`modules/integers.py`).

    >>> numbers_read("standardized", 13), numbers_read("piecewise", 13)
    (13, 234)
    """
    return columns if numbers == "standardized" else columns * (number_bins(columns) + 2)


def check_width(name: str, width: int) -> None:
    """Raise ValueError unless a table can be so wide."""
    if width < WIDTH_STEP or width % WIDTH_STEP:
        raise ValueError(
            f"{name} is {width}; FBGEMM's tables have multiples of {WIDTH_STEP}, {WIDTH_STEP} at the least"
        )


@dataclass(frozen=True)
class TrainingRecipe:
    """What decides a training's result, beside the network, the rows and the seed."""

    batch_size: int = 256
    """Rows a step over all ranks together; each rank reads its share."""
    epochs: int = 1
    """Passes over the training rows, at least 1."""
    planned_epochs: int = 0
    """Passes that the dense part's schedule is laid out for, at least `epochs`; 0: `epochs`. A longer plan ends with
    a rate above zero, which several passes with kept tables want (DECISIONS.md, 2026-11-21)."""
    keep_best_pass: bool = False
    """Evaluate the validation rows after each pass, stop after the first pass that is worse than the one before, and
    keep the weights of the best."""
    learning_rate: float = 0.01
    """Peak learning rate of the dense part's Adagrad."""
    reference_inputs: int = 0
    """Inputs up to which a matrix of the dense part learns at `learning_rate`, at least 0: one with more learns so much
    slower, so that one rate fits narrow and wide networks (modules/supernet/optimizer.py); 0: all learn alike."""
    initial_square: float = 0.0
    """Where the dense part's Adagrad accumulators start, at least 0. (0.1, TensorFlow's default, tames the first steps
    and then starves the hidden layers, whose gradients are far below it: DECISIONS.md.)"""
    table_learning_rate: float = 0.2
    """Peak learning rate of the tables' row-wise Adagrad."""
    table_prior_count: float = 0.0
    """Occurrences that every table row begins with in its Adagrad accumulator, at least 0 (modules/table_prior.py);
    with more of them, rare ids stay near their start. The rate that fits grows with its root: 1.6 for 128."""
    tables: Literal["kept", "fresh"] = "kept"
    """In later passes, keep the tables, or draw them and their accumulators anew while the dense part goes on (MEDA,
    arXiv:2407.01607): kept tables overfit some logs from the second pass on."""
    table_schedule: Literal["as_dense", "each_pass"] = "as_dense"
    """The tables' rate follows the dense part's schedule; or in each pass it falls linearly from the peak to a fifth of
    it (after the warm-up, in the first), as tables drawn anew need it."""
    warm_up_share: float = 0.1
    """Share of the steps over which the learning rates rise linearly, 0 to 1."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """After the warm-up: a cosine down to zero, or constant."""
    clip_norm: float = 5.0
    """Largest norm of the dense gradient (the fused tables' gradients are never whole, and not clipped)."""
    epsilon: float = 1e-8
    """Both Adagrads' ε, above 0. (Gradients are means over the batch: with the published 1e-2 a table row, whose
    gradient is about 1e-4, would learn a hundred times too slowly.)"""
    optimizer: Literal["adagrad", "adam", "sgd"] = "adagrad"
    """Of the dense part. Weights that a step's path does not hold are not changed (modules/supernet/optimizer.py); for
    Adam that is a rule of ours. The tables have TorchRec's fused row-wise Adagrad in any case."""
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    """Of the dense part's products in training: tf32 (CUDA only) or bf16 by autocast; weights stay float32."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.planned_epochs and self.planned_epochs < self.epochs:
            raise ValueError(f"planned_epochs is {self.planned_epochs}; it must be 0 or at least epochs, {self.epochs}")
        if not self.table_prior_count >= 0:
            raise ValueError(f"table_prior_count is {self.table_prior_count}; it must be at least 0")
        for name in ("learning_rate", "table_learning_rate", "clip_norm", "epsilon"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if not 0 <= self.warm_up_share <= 1:
            raise ValueError(f"warm_up_share is {self.warm_up_share}; it is a share, 0 to 1")
        if self.reference_inputs < 0:
            raise ValueError(f"reference_inputs is {self.reference_inputs}; it must be at least 0")
        if not self.initial_square >= 0:
            raise ValueError(f"initial_square is {self.initial_square}; it must be at least 0")

    def values(self) -> dict[str, Any]:
        """The fields of this class by name, also of an object of a derived one."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(TrainingRecipe)}


@dataclass(frozen=True)
class Recipe(TrainingRecipe):
    """A training recipe with what the network is given: all that is chosen for a contender beside its network."""

    embedding_width: int = 16
    """Width D of every embedding vector that the network is given: a multiple of 4, as FBGEMM wants it."""
    table_widths: tuple[int, ...] = ()
    """Width of each embedding table in the schema's order, multiples of 4 up to D; rows of narrower ones are projected
    to D by learned matrices. Empty: all tables are as wide as D."""
    numbers: Numbers = "standardized"
    """What the network reads in the place of the numeric columns: them standardized, or piecewise linear encodings,
    with which a linear layer is any piecewise linear function of each (modules/integers.py)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_width("embedding_width", self.embedding_width)
        for width in self.table_widths:
            check_width("table_widths", width)
        if any(width > self.embedding_width for width in self.table_widths):
            raise ValueError(
                f"table_widths is {self.table_widths}; no table is wider than embedding_width, {self.embedding_width}"
            )

    def widths(self, tables: int) -> tuple[int, ...]:
        """Width of each of so many tables. Raises ValueError where the recipe is for another number of them.

        >>> Recipe(embedding_width=8).widths(3), Recipe(embedding_width=8, table_widths=(4, 8)).widths(2)
        ((8, 8, 8), (4, 8))
        """
        found = self.table_widths or (self.embedding_width,) * tables
        if len(found) != tables:
            raise ValueError(f"table_widths has {len(found)} widths for {tables} tables; give one for each, or none")
        return found

    @property
    def tables_in_words(self) -> str:
        """Passes and what happens to the tables, in a few words.

        >>> Recipe(epochs=3, tables="fresh").tables_in_words, Recipe(epochs=2, planned_epochs=3).tables_in_words
        ('3 passes, fresh tables', '2 of 3 planned passes, kept tables')
        """
        if self.epochs == 1 and self.planned_epochs <= 1:
            return "1 pass"
        planned = f"of {self.planned_epochs} planned " if self.planned_epochs > self.epochs else ""
        return f"{self.epochs} {planned}passes, {self.tables} tables"

    @property
    def width_in_words(self) -> str:
        """The widths, in a few words.

        >>> Recipe(embedding_width=32, table_widths=(4, 32)).width_in_words, Recipe(embedding_width=32).width_in_words
        ('D 32 from tables 4 to 32 wide', 'D 32')
        """
        if not self.table_widths:
            return f"D {self.embedding_width}"
        return f"D {self.embedding_width} from tables {min(self.table_widths)} to {max(self.table_widths)} wide"

    def in_words(self) -> str:
        """The choices that a race makes, in a few words."""
        numbers = "" if self.numbers == "standardized" else f", {self.numbers} numbers"
        return (
            f"{self.width_in_words}, {self.tables_in_words}, batches of {self.batch_size}, "
            f"table rate {self.table_learning_rate:g} with a prior of {self.table_prior_count:g}, "
            f"dense rate {self.learning_rate:g}{numbers}"
        )
