"""The workload of a searched architecture: its live operators, mergers and head, and what reads what.

V vectors a sample; d dense width, n sparse width, D embedding width, k projected fields of the dot product, H heads.
"""

from modules.space.architecture import BINARY_OPERATORS, Architecture, InputShape
from modules.space.counting import OperatorCount, StaticMatrix, count_operators
from pim_codesign.mapping.workload import NORM_OPERATIONS, ComputedProduct, Embeddings, Stage, Workload

SOFTMAX_OPERATIONS = 3
"""Vector operations softmax spends on one number beside the exponential: maximum, sum, divide."""


def workload_of_subnet(
    architecture: Architecture, shape: InputShape, table_rows: int = 0, layer_norm: bool = True
) -> Workload:
    """The operators of an architecture on the given inputs; `table_rows` of all embedding tables together (for area).

    `layer_norm`: whether the network was built with norms (else with biases in their place).

    >>> from modules.space import Block
    >>> block = Block(("fc",), ("efc",), 16, 16, (0,), (0,), 0, 0, False, False)
    >>> work = workload_of_subnet(Architecture((block,)), InputShape(13, 26, 16))
    >>> [(stage.name, stage.vectors, stage.inputs, stage.outputs) for stage in work.stages[1:]]
    [('blocks.0.dense.fc.project', 1, 13, 16), ('blocks.0.sparse.efc.project', 16, 26, 16), ('head', 1, 272, 1)]
    """
    builder = _Builder(architecture, shape, layer_norm)
    for operator in count_operators(architecture, shape, layer_norm):
        builder.add(operator)
    return Workload(tuple(builder.stages), Embeddings(shape.fields, shape.embedding_width, table_rows))


class _Builder:
    """Adds operators in the order they are computed, keeping which stages make each block's outputs."""

    def __init__(self, architecture: Architecture, shape: InputShape, layer_norm: bool) -> None:
        self.architecture, self.shape, self.normed = architecture, shape, layer_norm
        self.stages = [Stage("embeddings", "", ())]
        blocks = len(architecture.blocks)
        # Stages that make output k of a branch (0 = stem), by operators only and with the merger.
        self.dense_operators: list[tuple[int, ...]] = [() for _ in range(blocks + 1)]
        self.sparse_operators: list[tuple[int, ...]] = [(0,)] + [() for _ in range(blocks)]
        self.dense_merged: list[tuple[int, ...]] = [() for _ in range(blocks + 1)]
        self.sparse_merged: list[tuple[int, ...]] = [() for _ in range(blocks + 1)]

    def dense(self, outputs: tuple[int, ...]) -> tuple[int, ...]:
        """Stages that make these dense outputs."""
        return tuple(stage for k in outputs for stage in self.dense_operators[k] + self.dense_merged[k])

    def sparse(self, outputs: tuple[int, ...]) -> tuple[int, ...]:
        """Stages that make these sparse outputs."""
        return tuple(stage for k in outputs for stage in self.sparse_operators[k] + self.sparse_merged[k])

    def add(self, operator: OperatorCount) -> None:
        """Append the operator's stages."""
        path = operator.name.split(".")
        if path[0] == "head":
            last = (len(self.architecture.blocks),)
            self.matrix(operator, 0, self.dense(last) + self.sparse(last))
            return
        number = int(path[1]) + 1
        block = self.architecture.blocks[number - 1]
        if path[2] == "dense":
            inputs = tuple({block.left, block.right}) if path[3] in BINARY_OPERATORS else block.dense_inputs
            made = self.dense_operator(path[3], operator, self.dense(tuple(sorted(inputs))), number)
            self.dense_operators[number] += (made,)
        elif path[2] == "sparse":
            made = self.sparse_operator(path[3], operator, self.sparse(block.sparse_inputs))
            self.sparse_operators[number] += (made,)
        elif path[2] == "dense_to_sparse":
            made = self.matrix(operator, 0, self.dense_operators[number], norm=self.normed)
            self.sparse_merged[number] = (made,)
        else:
            n, width = block.sparse_width, self.shape.embedding_width
            # (Σv)² − Σv²: n·D additions twice; the result is added to the dense output
            sums = 2 * n * width + operator.matrices[0].outputs
            depends = self.sparse_operators[number]
            made = self.matrix(operator, 0, depends, norm=self.normed, extra=sums, products=operator.computed_products)
            self.dense_merged[number] = (made,)

    def dense_operator(self, kind: str, operator: OperatorCount, inputs: tuple[int, ...], number: int) -> int:
        block = self.architecture.blocks[number - 1]
        if kind == "fc":
            return self.matrix(operator, 0, inputs, norm=self.normed, extra=block.dense_width)  # ReLU
        if kind == "sum":
            return self.matrix(operator, 0, inputs, norm=self.normed, extra=operator.matrices[0].inputs)
        if kind == "sigmoid_gating":
            width = operator.matrices[0].outputs  # of the right input
            gate = self.matrix(operator, 0, self.dense((block.left,)), extra=width, lookups=width)
            depends = (gate, *self.dense((block.right,)))
            return self.matrix(operator, 1, depends, norm=self.normed, products=operator.computed_products)
        assert kind == "dot_product"
        dense = self.matrix(operator, 0, inputs, norm=self.normed)
        fields = self.matrix(operator, 1, self.sparse(block.sparse_inputs), norm=self.normed)
        vectors, width = operator.matrices[1].outputs + 1, self.shape.embedding_width
        pairs = ComputedProduct(vectors, width, vectors, 1, operator.computed_products)
        return self.matrix(operator, 2, (dense, fields), norm=self.normed, computed=(pairs,))

    def sparse_operator(self, kind: str, operator: OperatorCount, inputs: tuple[int, ...]) -> int:
        project = operator.matrices[0]
        if kind == "efc":
            return self.matrix(operator, 0, inputs, norm=self.normed, extra=project.vectors * project.outputs)  # ReLU
        assert kind == "attention"
        n, width, heads = project.outputs, self.shape.embedding_width, self.shape.attention_heads
        numbers, scores = n * width, n * n * heads
        first = self.matrix(operator, 0, inputs, norm=self.normed)
        half = operator.computed_products // 2
        attended = self.matrix(
            operator,
            1,
            (first,),
            extra=SOFTMAX_OPERATIONS * scores,
            lookups=scores,
            computed=(
                ComputedProduct(n, width // heads, n, heads, half),  # QKᵀ
                ComputedProduct(n, n, width // heads, heads, half),  # AV
            ),
        )
        output = self.matrix(operator, 2, (attended,), norm=True, extra=numbers)  # residual
        expand = self.matrix(operator, 3, (output,), extra=numbers)  # ReLU
        return self.matrix(operator, 4, (expand,), norm=True, extra=numbers)  # residual

    def matrix(
        self,
        operator: OperatorCount,
        index: int,
        depends: tuple[int, ...],
        norm: bool = False,
        extra: int = 0,
        products: int = 0,
        lookups: int = 0,
        computed: tuple[ComputedProduct, ...] = (),
    ) -> int:
        """Append the stage of one matrix with `extra` vector operations beside its biases and norm; its index."""
        matrix: StaticMatrix = operator.matrices[index]
        numbers = matrix.vectors * matrix.outputs
        operations = extra + numbers * (matrix.bias + NORM_OPERATIONS * norm)
        stage = Stage(
            name=matrix.name,
            operator=operator.name,
            depends=tuple(sorted(set(depends))),
            vectors=matrix.vectors,
            inputs=matrix.inputs,
            outputs=matrix.outputs,
            products=products,
            computed=computed,
            vector_operations=operations,
            lookups=lookups,
        )
        self.stages.append(stage)
        return len(self.stages) - 1
