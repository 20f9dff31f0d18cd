"""The layers of an operator as data: one `Step` a layer, in the order of computing.

Building, multiply-accumulates, parameters, the chip's workload and the profile are loops over these descriptions.
V vectors a sample, I inputs, O outputs of a static matrix.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from modules.operators.inputs import Columns, Read


@dataclass(frozen=True)
class Matrix:
    """A static weight matrix O × I and how often one sample uses it."""

    columns: tuple[Columns, ...]
    """Where its inputs stand in the widest network's matrix, one range a joined tensor; I is their sum."""
    outputs: int
    """Rows O; the first O of the widest network's matrix."""
    vectors: int = 1
    """Input vectors V per sample that go through the matrix."""
    bias: bool = False
    """Whether O biases are added (also where layer norms are on)."""

    @property
    def inputs(self) -> int:
        """Columns I."""
        return sum(stop - start for start, stop in self.columns)

    @property
    def multiply_accumulates(self) -> int:
        """V · I · O."""
        return self.vectors * self.inputs * self.outputs


@dataclass(frozen=True)
class LayerNorm:
    """A layer norm behind the step's matrix (or on what the step reads, where it has none)."""

    name: str
    """Name of the layer in the operator."""
    width: int
    """Numbers that are normed together; the norm has as many scales and shifts."""
    vectors: int = 1
    """Vectors V per sample that are normed."""
    residual: bool = False
    """Whether it stands behind a residual sum: such norms stay in networks that are built without layer norms."""


@dataclass(frozen=True)
class ComputedProduct:
    """A product of two computed matrices: `vectors` × `rows` times `rows` × `columns`, `count` times a sample."""

    vectors: int
    rows: int
    columns: int
    count: int
    multiply_accumulates: int
    """What must really be computed; fewer than count · vectors · rows · columns where symmetry halves it."""


@dataclass(frozen=True)
class Step:
    """One layer: a weight matrix, its norm, and the digital work beside them."""

    name: str
    """Name of the matrix' layer in the operator, for example "project"; "" where the operator is this one layer."""
    waits_for: tuple[str | Read, ...]
    """Names of the earlier steps, and the outputs, that it is computed from."""
    matrix: Matrix | None = None
    """The static matrix; None for a step of digital work only."""
    norm: LayerNorm | None = None
    """The layer norm behind it."""
    products: int = 0
    """Elementwise products of computed numbers (gates, squares)."""
    computed: tuple[ComputedProduct, ...] = ()
    """Matrix products of computed operands (inner products, attention)."""
    elementwise_operations: int = 0
    """Activations, sums and the like; biases and norms are derived from `matrix` and `norm`."""
    function_evaluations: int = 0
    """Sigmoids and exponentials."""

    @property
    def multiply_accumulates(self) -> int:
        """Those of the matrix and those between computed operands, per sample."""
        static = self.matrix.multiply_accumulates if self.matrix else 0
        return static + self.products + sum(product.multiply_accumulates for product in self.computed)

    def has_bias(self, layer_norm: bool = True) -> bool:
        """Whether the matrix carries a bias: where it always does, and where layer norms are left out."""
        return self.matrix is not None and (self.matrix.bias or not layer_norm)

    def has_norm(self, layer_norm: bool = True) -> bool:
        """Whether the norm is there: residual ones stay where layer norms are left out."""
        return self.norm is not None and (layer_norm or self.norm.residual)

    def parameters(self, layer_norm: bool = True) -> int:
        """Weights, biases, and the norm's scales and shifts."""
        count = 0
        if self.matrix:
            count += self.matrix.outputs * (self.matrix.inputs + self.has_bias(layer_norm))
        if self.norm and self.has_norm(layer_norm):
            count += 2 * self.norm.width
        return count


def check_steps(where: str, steps: Iterable[Step], reads: Iterable[Read]) -> None:
    """Raise ValueError, naming step and place, for a description that cannot be built.

    Names of layers must differ, a step waits for earlier steps or for outputs that the operator says it reads, and
    every output that it says it reads is waited for.
    """
    seen: set[str] = set()
    layers: set[str] = set()
    allowed, waited = set(reads), set()
    for step in steps:
        for name in _layer_names(step):
            if name in layers:
                raise ValueError(f"{where}: two layers are called {name!r}; give each a name of its own")
            layers.add(name)
        for source in step.waits_for:
            if isinstance(source, Read):
                if source not in allowed:
                    raise ValueError(f"{where}, step {step.name!r} waits for {source}, which `reads` does not name")
                waited.add(source)
            elif source not in seen:
                raise ValueError(f"{where}, step {step.name!r} waits for {source!r}, which is no earlier step")
        if step.matrix and (step.matrix.inputs < 1 or step.matrix.outputs < 1 or step.matrix.vectors < 1):
            raise ValueError(f"{where}, step {step.name!r} has an empty matrix: {step.matrix}")
        seen.add(step.name)
    if allowed - waited:
        raise ValueError(f"{where}: no step waits for {sorted(map(str, allowed - waited))}, which `reads` names")


def _layer_names(step: Step) -> list[str]:
    return [step.name] + ([step.norm.name] if step.norm else [])
