"""The workload of a baseline (torchrec's DLRM, DLRM with DCN-v2, DeepFM), found by running it once.

Every `nn.Linear` is a static matrix, every low-rank cross layer two; pairwise inner products and factorization machines
are digital work. What waits for what is read off autograd's graph.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torchrec.models.dlrm import InteractionArch
from torchrec.modules.crossnet import LowRankCrossNet
from torchrec.modules.deepfm import FactorizationMachine

from modules.space import InputShape
from pim_codesign.mapping.workload import ComputedProduct, Embeddings, Stage, Workload

_NODES = (nn.Linear, LowRankCrossNet, InteractionArch, FactorizationMachine)


def workload_of_baseline(interaction: nn.Module, shape: InputShape, table_rows: int = 0) -> Workload:
    """The operators of an interaction module `forward(dense [B, I], sparse [B, F, D])`; each matrix is an operator.

    Raises ValueError for a module with a weight matrix that is neither in an `nn.Linear` nor in a `LowRankCrossNet`.
    """
    _check_covered(interaction)
    recorder = _Recorder()
    for name, module in interaction.named_modules():
        if isinstance(module, _NODES):
            recorder.watch(name, module)
    parameter = next(interaction.parameters())
    dense = torch.zeros(1, shape.integers, dtype=parameter.dtype, device=parameter.device).requires_grad_()
    sparse = torch.zeros(1, shape.fields, shape.embedding_width, dtype=parameter.dtype, device=parameter.device)
    with torch.enable_grad():
        looked_up = sparse.requires_grad_() * 1  # a node of the graph that stands for the lookup
        recorder.made_by[looked_up.grad_fn] = 0
        interaction(dense, looked_up)
    recorder.remove()
    return Workload(tuple(recorder.stages), Embeddings(shape.fields, shape.embedding_width, table_rows))


def _check_covered(interaction: nn.Module) -> None:
    covered = {
        id(parameter)
        for module in interaction.modules()
        if isinstance(module, (nn.Linear, LowRankCrossNet))
        for parameter in module.parameters()
    }
    for name, parameter in interaction.named_parameters():
        if parameter.dim() > 1 and id(parameter) not in covered:
            raise ValueError(
                f"parameter {name} {tuple(parameter.shape)} belongs to no nn.Linear or LowRankCrossNet: "
                "say in pim_codesign/mapping/baselines.py how it lies on crossbars"
            )


class _Recorder:
    """Hooks that append a stage for each call of a watched module."""

    def __init__(self) -> None:
        self.stages = [Stage("embeddings", "", ())]
        self.made_by: dict[Any, int] = {}
        """Node of autograd's graph -> stage whose result it is."""
        self.handles: list[Any] = []

    def watch(self, name: str, module: nn.Module) -> None:
        def record(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            depends = tuple(sorted(self._waits_for(list(_tensors(inputs)))))
            for stage in _stages(name, module, list(_tensors(inputs)), depends, len(self.stages)):
                self.stages.append(stage)
            self.made_by[output.grad_fn] = len(self.stages) - 1

        self.handles.append(module.register_forward_hook(record))

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()

    def _waits_for(self, tensors: list[Tensor]) -> set[int]:
        """Stages whose results the tensors are computed from, looking no further back than each."""
        found: set[int] = set()
        seen: set[Any] = set()
        waiting = [tensor.grad_fn for tensor in tensors]
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            if node in self.made_by:
                found.add(self.made_by[node])
            else:
                waiting += [before for before, _ in node.next_functions]
        return found


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _stages(
    name: str, module: nn.Module, inputs: list[Tensor], depends: tuple[int, ...], index: int
) -> Iterator[Stage]:
    """The stages of one call; `index` is the first one's."""
    if isinstance(module, nn.Linear):
        vectors = inputs[0].numel() // module.in_features
        operations = vectors * module.out_features * (1 + (module.bias is not None))  # activation, bias
        yield Stage(name, name, depends, vectors, module.in_features, module.out_features, vector_operations=operations)
    elif isinstance(module, LowRankCrossNet):
        rank, width = module.V_kernels[0].shape
        for layer in range(len(module.V_kernels)):
            down, up = f"{name}.V_kernels.{layer}", f"{name}.W_kernels.{layer}"
            yield Stage(down, down, depends, 1, width, rank)
            # x₀ ⊙ (W V x + b) + x: one product and two additions a number
            yield Stage(up, up, (index,), 1, rank, width, products=width, vector_operations=2 * width)
            depends, index = (index + 1,), index + 2
    elif isinstance(module, InteractionArch):
        _, fields, width = inputs[1].shape
        pairs = ComputedProduct(fields + 1, width, fields + 1, 1, fields * (fields + 1) // 2 * width)
        yield Stage(name, "", depends, computed=(pairs,))
    else:
        # ½ [(Σ x)² − Σ x²] over each of its rows: one for a sample, or D where numbers cross at one position only
        numbers, rows = sum(tensor.numel() for tensor in inputs), inputs[0].shape[0]
        yield Stage(name, "", depends, products=numbers + rows, vector_operations=2 * numbers + rows)
