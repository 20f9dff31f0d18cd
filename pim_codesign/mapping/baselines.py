"""The workload of a baseline: its described layers, each matrix an operator of its own."""

from modules.baselines import Baseline
from modules.operators import InputShape
from pim_codesign.mapping.stages import stage_of
from pim_codesign.mapping.workload import Embeddings, Stage, Workload


def workload_of_baseline(baseline: Baseline, shape: InputShape, table_rows: int = 0) -> Workload:
    """The operators of a baseline on the given inputs; `table_rows` of all embedding tables together (for area).

    >>> from modules.baselines import BASELINES
    >>> workload = workload_of_baseline(BASELINES["dlrm"], InputShape(13, 26, 16))
    >>> workload.multiply_accumulates
    479984
    """
    stages = [Stage("embeddings", "", ())]
    made: dict[str, int] = {}
    for step in baseline.steps(shape):
        depends: list[int] = []
        for source in step.waits_for:
            if isinstance(source, str):
                depends.append(made[source])
            elif source.side == "sparse":
                depends.append(0)  # the lookup; the dense inputs are there from the beginning
        made[step.name] = len(stages)
        stages.append(stage_of(step, step.name, step.name, depends))
    return Workload(tuple(stages), Embeddings(shape.fields, shape.embedding_width, table_rows))
