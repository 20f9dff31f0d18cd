"""Exact multiply-accumulates and parameters of an architecture, without building it.

V vectors a sample, I inputs, O outputs of a static matrix; d dense width, n sparse width, D embedding width,
k = round(√(2d)) of the operator-balanced dot product, H attention heads. Embedding tables are not counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from modules.space.architecture import MERGER_VECTORS, Architecture, Block, InputShape, balanced_fields
from modules.space.liveness import Liveness, live

Rule = Literal["built", "reference"]
"""`built`: what this project's networks compute (live parts, every projection). `reference`: what the authors' code
counts (a projection left out where the widths already agree; gating over the padded width; no elementwise products)."""


@dataclass(frozen=True)
class StaticMatrix:
    """A weight matrix and how often one sample uses it."""

    name: str
    """Path of the Linear module in a Subnet, for example `blocks.0.dense.fc.project`."""
    vectors: int
    """Input vectors V per sample that go through the matrix."""
    inputs: int
    """Columns I."""
    outputs: int
    """Rows O."""
    bias: bool = False
    """Whether O biases are added."""

    @property
    def multiply_accumulates(self) -> int:
        """V · I · O."""
        return self.vectors * self.inputs * self.outputs


@dataclass(frozen=True)
class OperatorCount:
    """What one operator, merger or the head costs a sample."""

    name: str
    """Path of the module in a Subnet, for example `blocks.0.dense.fc`."""
    matrices: tuple[StaticMatrix, ...]
    """Its weight matrices."""
    computed_products: int = 0
    """Multiply-accumulates between two computed operands (inner products, attention, FM squares, gates)."""
    norm_widths: tuple[int, ...] = ()
    """Widths of its layer norms, each with a scale and a shift."""

    @property
    def multiply_accumulates(self) -> int:
        """Those of the matrices and those between computed operands."""
        return sum(matrix.multiply_accumulates for matrix in self.matrices) + self.computed_products

    @property
    def parameters(self) -> int:
        """Weights, biases, and the norms' scales and shifts."""
        weights = sum(matrix.inputs * matrix.outputs + matrix.bias * matrix.outputs for matrix in self.matrices)
        return weights + 2 * sum(self.norm_widths)


def multiply_accumulates(architecture: Architecture, shape: InputShape, rule: Rule = "built") -> int:
    """Multiply-accumulates a row (the field writes them as "FLOPs"): matrices and products of computed operands."""
    operators = count_operators(architecture, shape) if rule == "built" else _reference(architecture, shape)
    return sum(operator.multiply_accumulates for operator in operators)


def parameter_count(architecture: Architecture, shape: InputShape, layer_norm: bool = True) -> int:
    """Parameters of the standalone network, embedding tables not counted."""
    return sum(operator.parameters for operator in count_operators(architecture, shape, layer_norm))


def output_widths(architecture: Architecture, shape: InputShape) -> tuple[list[int], list[int]]:
    """Widths of the dense outputs and vectors of the sparse outputs, stem first (merger's 8 vectors included)."""
    dense = [shape.integers] + [block.dense_width for block in architecture.blocks]
    sparse = [shape.fields] + [
        block.sparse_width + MERGER_VECTORS * alive.dense_to_sparse
        for block, alive in zip(architecture.blocks, live(architecture), strict=True)
    ]
    return dense, sparse


def count_operators(architecture: Architecture, shape: InputShape, layer_norm: bool = True) -> Iterator[OperatorCount]:
    """Every live operator, merger and the head, in the order they are computed."""
    dense, sparse = output_widths(architecture, shape)
    for index, (block, alive) in enumerate(zip(architecture.blocks, live(architecture), strict=True)):
        operators = _count_block(f"blocks.{index}", block, alive, dense, sparse, shape)
        yield from operators if layer_norm else map(_without_norms, operators)
    head = StaticMatrix("head", 1, dense[-1] + sparse[-1] * shape.embedding_width, 1, bias=True)
    yield OperatorCount("head", (head,))


def _count_block(
    name: str, block: Block, alive: Liveness, dense: list[int], sparse: list[int], shape: InputShape
) -> Iterator[OperatorCount]:
    d, n, width = block.dense_width, block.sparse_width, shape.embedding_width
    joined, fields = sum(dense[i] for i in block.dense_inputs), sum(sparse[i] for i in block.sparse_inputs)
    left, right = dense[block.left], dense[block.right]
    for operator in block.dense_operators if alive.dense else ():
        path = f"{name}.dense.{operator}"
        match operator:
            case "fc":
                yield OperatorCount(path, (StaticMatrix(f"{path}.project", 1, joined, d),), norm_widths=(d,))
            case "dot_product":
                yield _count_dot_product(path, d, joined, fields, width)
            case "sigmoid_gating":
                gate = StaticMatrix(f"{path}.gate", 1, left, right, bias=True)
                yield OperatorCount(path, (gate, StaticMatrix(f"{path}.project", 1, right, d)), right, (d,))
            case "sum":
                yield OperatorCount(path, (StaticMatrix(f"{path}.project", 1, max(left, right), d),), 0, (d,))
    for operator in block.sparse_operators if alive.sparse else ():
        path = f"{name}.sparse.{operator}"
        project = StaticMatrix(f"{path}.project", width, fields, n)
        match operator:
            case "efc":
                yield OperatorCount(path, (project,), norm_widths=(n,))
            case "attention":
                yield _count_attention(path, project, n, width)
    if alive.dense_to_sparse:
        path = f"{name}.dense_to_sparse"
        added = MERGER_VECTORS * width
        yield OperatorCount(path, (StaticMatrix(f"{path}.project", 1, d, added),), norm_widths=(added,))
    if alive.sparse_to_dense:
        path = f"{name}.sparse_to_dense"
        squares = (n + 1) * width  # Σv² has n·D products, (Σv)² has D
        yield OperatorCount(path, (StaticMatrix(f"{path}.project", 1, width, d),), squares, (d,))


def _without_norms(operator: OperatorCount) -> OperatorCount:
    """The same with a bias in place of every norm but attention's two residual ones, the last of its widths."""
    matrices = tuple(replace(matrix, bias=True) for matrix in operator.matrices)
    residual = operator.norm_widths[1:] if operator.name.endswith(".attention") else ()
    return replace(operator, matrices=matrices, norm_widths=residual)


def _count_dot_product(path: str, d: int, joined: int, fields: int, width: int) -> OperatorCount:
    k = balanced_fields(d)
    pairs = k * (k + 1) // 2
    matrices = (
        StaticMatrix(f"{path}.project_dense", 1, joined, width),
        StaticMatrix(f"{path}.project_fields", width, fields, k),
        StaticMatrix(f"{path}.project", 1, width + pairs, d),
    )
    return OperatorCount(path, matrices, pairs * width, (width, k, d))


def _count_attention(path: str, project: StaticMatrix, n: int, width: int) -> OperatorCount:
    matrices = (
        project,
        StaticMatrix(f"{path}.query_key_value", n, width, 3 * width, bias=True),
        StaticMatrix(f"{path}.output", n, width, width, bias=True),
        StaticMatrix(f"{path}.expand", n, width, width, bias=True),
        StaticMatrix(f"{path}.contract", n, width, width, bias=True),
    )
    return OperatorCount(path, matrices, 2 * n * n * width, (n, width, width))  # QKᵀ and AV over all heads


def _reference(architecture: Architecture, shape: InputShape) -> Iterator[OperatorCount]:
    """The authors' networks as their counter (fvcore) sees them: elementwise products are free.

    Traced graphs hold no dead parts, so theirs are not counted either; inner products are a full square there.
    """
    width = shape.embedding_width
    dense, sparse = output_widths(architecture, shape)
    for index, (block, alive) in enumerate(zip(architecture.blocks, live(architecture), strict=True)):
        d, n = block.dense_width, block.sparse_width
        joined, fields = sum(dense[i] for i in block.dense_inputs), sum(sparse[i] for i in block.sparse_inputs)
        padded = max(dense[block.left], dense[block.right])
        k = balanced_fields(d)
        pairs = k * (k + 1) // 2
        costs = {
            "fc": joined * d,
            "dot_product": _unless(joined, width)
            + width * _unless(fields, k)
            + (k + 1) ** 2 * width
            + _unless(pairs, d),
            "sigmoid_gating": padded * padded + _unless(padded, d),
            "sum": _unless(padded, d),
            "efc": width * fields * n,
            "attention": width * fields * n + n * 6 * width * width + 2 * n * n * width,
        }
        total = sum(costs[name] for name in block.dense_operators if alive.dense)
        total += sum(costs[name] for name in block.sparse_operators if alive.sparse)
        total += alive.dense_to_sparse * _unless(d, MERGER_VECTORS * width)
        total += alive.sparse_to_dense * _unless(width, d)
        yield OperatorCount(f"blocks.{index}", (), total)
    yield OperatorCount("head", (), dense[-1] + sparse[-1] * width)


def _unless(inputs: int, outputs: int) -> int:
    """Cost of the projection that the reference leaves out where the widths agree."""
    return 0 if inputs == outputs else inputs * outputs
