"""The workload of an architecture: the described layers of its live operators, mergers and head."""

from collections.abc import Sequence

from modules.operators import FLOAT, InputShape, Read
from modules.space import Architecture, Part
from modules.space.plan import plan
from pim_codesign.mapping.stages import stage_of
from pim_codesign.mapping.workload import Embeddings, Stage, Workload


def workload_of_subnet(
    architecture: Architecture, shape: InputShape, table_rows: Sequence[int] = (), layer_norm: bool = True
) -> Workload:
    """The operators of an architecture on the given inputs; `table_rows` of each embedding table (for area).

    `layer_norm`: whether the network was built with norms (else with biases in their place). Raises ValueError for
    numbers of rows that are not one each a field.

    >>> import numpy
    >>> from modules.space import NASREC_SMALL, single_operator_any_connection
    >>> architecture = single_operator_any_connection(NASREC_SMALL, numpy.random.default_rng(0))
    >>> work = workload_of_subnet(architecture, InputShape(13, 26, 16))
    >>> work.stages[-1].name, work.stages[-1].outputs
    ('head', 1)
    """
    made = _Made()
    stages = [Stage("embeddings", "", ())]
    for part in plan(architecture, shape):
        own: dict[str, int] = {}
        for step in part.steps:
            depends = [0] if part.operator.branch == "projections" else []
            for source in step.waits_for:
                depends += [own[source]] if isinstance(source, str) else made.by(source, part.number)
            own[step.name] = len(stages)
            stages.append(stage_of(step, part.layer_path(step.name), part.path, depends, layer_norm))
        waited_for = {source for step in part.steps for source in step.waits_for}
        made.add(part, [stage for name, stage in own.items() if name not in waited_for])
    return Workload(tuple(stages), Embeddings.of(shape.widths, table_rows or (0,) * shape.fields))


def bits_of_subnet(architecture: Architecture, shape: InputShape) -> dict[str, tuple[int, int]]:
    """Weight and activation bits that each operator of the workload was trained with; 8 and 8 of those in floating
    point, which is the naive mapping's.

    >>> from modules.operators import InputShape
    >>> from modules.space.handmade import handmade
    >>> shape = InputShape(13, 26, 16)
    >>> bits_of_subnet(handmade("logistic_regression", shape), shape)
    {'head': (8, 8)}
    """
    found = {}
    for part in plan(architecture, shape):
        if any(step.matrix for step in part.steps):
            own = part.precision
            found[part.path] = (8, 8) if own is FLOAT else (own.weight_bits, own.activation_bits)
    return found


class _Made:
    """Which stages make each output: by a block's operators, and by its merger."""

    def __init__(self) -> None:
        # The dense inputs are there from the beginning; the embedding vectors come from stage 0, the lookup.
        self._operators: dict[tuple[str, int], list[int]] = {("dense", 0): [], ("sparse", 0): [0]}
        self._mergers: dict[tuple[str, int], list[int]] = {}

    def add(self, part: Part, stages: list[int]) -> None:
        """Note the stages of a part that none of its others waits for: together they make its output."""
        match part.operator.branch:
            case "projections":
                self._operators["sparse", 0] += stages
            case "stem":
                self._operators["dense", 0] = stages
                self._operators["sparse", 0] += stages
            case "dense" | "sparse" as side:
                self._operators.setdefault((side, part.number), []).extend(stages)
            case "dense_to_sparse":
                self._mergers[("sparse", part.number)] = stages
            case "sparse_to_dense":
                self._mergers[("dense", part.number)] = stages

    def by(self, read: Read, number: int) -> list[int]:
        """The stages that make what block `number` reads."""
        if read.output is None:
            return self._operators[read.side, number]
        output = read.side, read.output
        return self._operators[output] + self._mergers.get(output, [])
