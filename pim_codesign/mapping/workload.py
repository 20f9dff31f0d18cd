"""A network as the chip sees it: stages (one weight matrix and the digital work beside it) and what waits for what.

V input vectors per sample, I inputs, O outputs of a static matrix; T stages.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy
from numpy.typing import NDArray

from modules.operators import ComputedProduct
from pim_codesign.checks import whole
from pim_codesign.mapping.orders import list_order

NORM_OPERATIONS = 5
"""Vector operations a layer norm spends on one number: sum, square and sum, centre, scale, affine."""


NOMINAL_CYCLE_NS = 100.0
"""Crossbar cycle by which orders of digital work are chosen, ns: ISAAC's. It decides which are tried, no more."""
NOMINAL_LANES, NOMINAL_ALUS = 256, 16
"""Lanes, and ALUs, by which they are chosen."""


@dataclass(frozen=True)
class Stage:
    """A node of the graph: a static matrix (if V·I·O > 0) and the digital work that goes with it.

    Raises ValueError for a size that is no whole number of at least 0, and for a matrix with one empty side.
    """

    name: str
    """Module path of the matrix, or of the digital module."""
    operator: str
    """The operator whose bits and replication it takes; "" for a stage without a matrix (8 bits)."""
    depends: tuple[int, ...]
    """Earlier stages that it waits for."""
    vectors: int = 0
    """Input vectors V per sample."""
    inputs: int = 0
    """Inputs I of the matrix."""
    outputs: int = 0
    """Outputs O of the matrix."""
    products: int = 0
    """Elementwise products of computed numbers (gates, squares), on the MAC lanes."""
    computed: tuple[ComputedProduct, ...] = ()
    """Matrix products of computed operands: on the MAC lanes, or on a scratch crossbar that is written first."""
    vector_operations: int = 0
    """Norms, ReLUs, sums: operations of the vector ALUs."""
    lookups: int = 0
    """Sigmoids and exponentials: look-ups."""

    def __post_init__(self) -> None:
        where = f"stage {self.name!r}"
        for name in ("vectors", "inputs", "outputs", "products", "vector_operations", "lookups"):
            whole(f"{where}: {name}", getattr(self, name), least=0)
        sizes = (self.vectors, self.inputs, self.outputs)
        if any(sizes) and not all(sizes):
            raise ValueError(
                f"{where}: vectors, inputs and outputs are {', '.join(map(str, sizes))}; a stage with a matrix has all "
                "three above 0, one without has none"
            )
        if any(sizes) and not self.operator:
            raise ValueError(f"{where} has a matrix but no operator; name the operator whose bits it takes")
        for product in self.computed:
            for name in ("vectors", "rows", "columns", "count"):
                whole(f"{where}: {name} of a computed product", getattr(product, name), least=1)
            whole(f"{where}: multiply_accumulates of a computed product", product.multiply_accumulates, least=0)

    @property
    def has_digital_work(self) -> bool:
        """Whether the stage needs the lanes, ALUs or look-up tables on some chip."""
        return bool(self.products or self.computed or self.vector_operations or self.lookups)


@dataclass(frozen=True)
class Embeddings:
    """What one sample looks up."""

    fields: int
    """Rows read per sample F."""
    width: int
    """Numbers per row D, 8 bits each."""
    rows: int = 0
    """Rows of all tables together; 0 where the tables are no part of the question."""
    others: tuple["Embeddings", ...] = ()
    """The fields whose tables have another width, one entry a width; they are not counted above."""

    def __post_init__(self) -> None:
        for name, least in (("fields", 1), ("width", 1), ("rows", 0)):
            whole(f"Embeddings.{name}", getattr(self, name), least)

    @classmethod
    def of(cls, widths: Sequence[int], table_rows: Sequence[int]) -> "Embeddings":
        """Those of tables of these widths and numbers of rows, one each a field; the widest stand first.

        Raises ValueError for a number of rows that is missing or below 0.

        >>> Embeddings.of([4, 8, 4], [100, 10, 200])
        Embeddings(fields=1, width=8, rows=10, others=(Embeddings(fields=2, width=4, rows=300, others=()),))
        """
        if len(widths) != len(table_rows) or not widths:
            raise ValueError(
                f"{len(table_rows)} numbers of table rows for {len(widths)} fields; give one for each, at least one"
            )
        for field, rows in enumerate(table_rows):
            whole(f"table rows of field {field}", rows, least=0)
        pairs = list(zip(widths, table_rows, strict=True))
        found = [
            cls(sum(own == width for own in widths), width, sum(rows for own, rows in pairs if own == width))
            for width in sorted(set(widths), reverse=True)
        ]
        return dataclasses.replace(found[0], others=tuple(found[1:]))


@dataclass(frozen=True)
class Workload:
    """Stages in an order where each comes after those it waits for; stage 0 is the embedding lookup.

    Raises ValueError for a dependency on a later stage, and for two stages of one name.
    """

    stages: tuple[Stage, ...]
    embeddings: Embeddings

    def __post_init__(self) -> None:
        if not self.stages or self.stages[0].name != "embeddings":
            raise ValueError("Workload.stages must begin with the stage named 'embeddings'")
        for index, stage in enumerate(self.stages):
            if stage.name in {other.name for other in self.stages[:index]}:
                raise ValueError(
                    f"stages {index} and an earlier one are both named {stage.name!r}; give each its own name"
                )
            if any(not 0 <= before < index for before in stage.depends):
                raise ValueError(f"stage {index} ({stage.name}) depends on {stage.depends}: not all are earlier stages")

    @cached_property
    def operators(self) -> tuple[str, ...]:
        """The operators that have bits and replication, in the order of their first stage."""
        return tuple(dict.fromkeys(stage.operator for stage in self.stages if stage.operator))

    @cached_property
    def vectors(self) -> dict[str, int]:
        """The largest V of each operator: its replication goes up to the largest power of two in it."""
        largest = dict.fromkeys(self.operators, 1)
        for stage in self.stages:
            if stage.operator:
                largest[stage.operator] = max(largest[stage.operator], stage.vectors)
        return largest

    @cached_property
    def multiply_accumulates(self) -> int:
        """A sample's, in matrices and between computed operands."""
        static = sum(stage.vectors * stage.inputs * stage.outputs for stage in self.stages)
        computed = sum(product.multiply_accumulates for stage in self.stages for product in stage.computed)
        return static + computed + sum(stage.products for stage in self.stages)

    @cached_property
    def digital_orders(self) -> tuple[tuple[int, ...], ...]:
        """Orders in which digital logic that the stages share may work: by when stages are ready without replication,
        with full replication, and without any time in crossbars."""
        names, depends = [stage.name for stage in self.stages], [stage.depends for stage in self.stages]
        digital = [_nominal_digital_ns(stage) for stage in self.stages]
        cycles = ([8 * s.vectors + 3 for s in self.stages], [8 * 1 + 3] * len(names), [0] * len(names))
        crossbar = [
            [NOMINAL_CYCLE_NS * own * (stage.vectors > 0) for own, stage in zip(kind, self.stages, strict=True)]
            for kind in cycles
        ]
        return tuple(dict.fromkeys(list_order(names, depends, kind, digital) for kind in crossbar))

    @cached_property
    def columns(self) -> "WorkloadColumns":
        """The same as numpy columns, made once."""
        return WorkloadColumns.of(self)


def _nominal_digital_ns(stage: Stage) -> float:
    macs = stage.products + sum(product.multiply_accumulates for product in stage.computed)
    return macs / NOMINAL_LANES + (stage.vector_operations + stage.lookups) / NOMINAL_ALUS


def _moved(stage: Stage) -> int:
    matrix = stage.vectors * (stage.inputs + stage.outputs)
    computed = (p.count * (p.vectors * p.rows + p.rows * p.columns + p.vectors * p.columns) for p in stage.computed)
    return matrix + sum(computed)


def _column(values: list[int]) -> NDArray[numpy.float64]:
    return numpy.array(values, dtype=numpy.float64).reshape(1, -1)


@dataclass(frozen=True)
class WorkloadColumns:
    """The stages' numbers as arrays [1, T], their computed products' as arrays [1, Q]; whole, held as float64."""

    operator: NDArray[numpy.int64]
    """Index of the stage's operator; the number of operators for a stage that has none. [T]"""
    vectors: NDArray[numpy.float64]
    max_dup: NDArray[numpy.float64]
    """Most copies of the stage's matrix: the largest power of two in V; 1 for a stage without one."""
    moved: NDArray[numpy.float64]
    """Numbers that are fetched or stored: a matrix' inputs and outputs, both operands and the result of a product."""
    inputs: NDArray[numpy.float64]
    outputs: NDArray[numpy.float64]
    products: NDArray[numpy.float64]
    computed_products: NDArray[numpy.float64]
    """Multiply-accumulates of the stage's `computed`."""
    vector_operations: NDArray[numpy.float64]
    lookups: NDArray[numpy.float64]
    computed_stage: NDArray[numpy.int64]
    """Stage of each computed product. [Q]"""
    computed_vectors: NDArray[numpy.float64]
    computed_rows: NDArray[numpy.float64]
    computed_columns: NDArray[numpy.float64]
    computed_count: NDArray[numpy.float64]

    @classmethod
    def of(cls, workload: Workload) -> "WorkloadColumns":
        """Gather a workload's numbers."""
        stages, operators = workload.stages, workload.operators
        computed = [(index, product) for index, stage in enumerate(stages) for product in stage.computed]
        plain = {
            name: _column([getattr(stage, name) for stage in stages])
            for name in ("vectors", "inputs", "outputs", "products", "vector_operations", "lookups")
        }
        return cls(
            operator=numpy.array([operators.index(s.operator) if s.operator else len(operators) for s in stages]),
            max_dup=_column([1 << max(stage.vectors, 1).bit_length() - 1 for stage in stages]),
            moved=_column([_moved(stage) for stage in stages]),
            computed_products=_column([sum(p.multiply_accumulates for p in stage.computed) for stage in stages]),
            computed_stage=numpy.array([index for index, _ in computed], dtype=numpy.int64),
            computed_vectors=_column([product.vectors for _, product in computed]),
            computed_rows=_column([product.rows for _, product in computed]),
            computed_columns=_column([product.columns for _, product in computed]),
            computed_count=_column([product.count for _, product in computed]),
            **plain,
        )
