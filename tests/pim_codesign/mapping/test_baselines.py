"""The workload of a baseline against the real network: its matrices, and what waits for what."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from modules.baselines import BASELINES
from modules.operators import InputShape
from pim_codesign import Workload, workload_of_baseline
from pim_codesign.functional.matrices import matrices, with_matrices_as_modules

SHAPE = InputShape(13, 26, 16)


@pytest.mark.parametrize("name", list(BASELINES))
def test_stages_are_the_matrices_of_the_real_network(name: str) -> None:
    """Every matrix is one stage of its size and an operator of its own; multiply-accumulates are the baseline's."""
    workload = workload_of_baseline(BASELINES[name], SHAPE)
    assert workload.multiply_accumulates == BASELINES[name].multiply_accumulates(SHAPE)
    model = with_matrices_as_modules(BASELINES[name].build(SHAPE, torch.Generator().manual_seed(0)))
    found = {path: (1, layer.in_features, layer.out_features) for path, layer in matrices(model)}
    described = {s.name: (s.vectors, s.inputs, s.outputs) for s in workload.stages if s.operator}
    assert described == found
    assert workload.operators == tuple(described)


@pytest.mark.parametrize("name", list(BASELINES))
def test_dependencies_are_those_of_the_real_network(name: str) -> None:
    """A matrix is after another exactly when disturbing the output of the one changes the input of the other."""
    model = BASELINES[name].build(SHAPE, torch.Generator().manual_seed(0)).double()
    model = with_matrices_as_modules(model)
    layers = dict(matrices(model))
    workload = workload_of_baseline(BASELINES[name], SHAPE)
    index = {stage.name: number for number, stage in enumerate(workload.stages)}
    after = _reachable(workload)
    calm = _inputs_of(model, layers)
    for path, layer in layers.items():
        disturb = layer.register_forward_hook(lambda module, inputs, output: output + 1 + torch.randn_like(output))
        stormy = _inputs_of(model, layers)
        disturb.remove()
        changed = {other for other in layers if not torch.equal(calm[other], stormy[other])}
        assert changed == {other for other in layers if index[other] in after[index[path]]}, path


@pytest.mark.parametrize("name", list(BASELINES))
def test_what_reads_the_embeddings_waits_for_them(name: str) -> None:
    """A matrix is after the lookup exactly when other embedding vectors change its input."""
    model = BASELINES[name].build(SHAPE, torch.Generator().manual_seed(0)).double()
    model = with_matrices_as_modules(model)
    layers = dict(matrices(model))
    workload = workload_of_baseline(BASELINES[name], SHAPE)
    after = _reachable(workload)[0]
    one, other = _inputs_of(model, layers), _inputs_of(model, layers, seed=1)
    changed = {path for path in layers if not torch.equal(one[path], other[path])}
    assert changed == {stage.name for number, stage in enumerate(workload.stages) if number in after and stage.operator}


def _inputs_of(model: nn.Module, layers: dict[str, Any], seed: int = 0) -> dict[str, Tensor]:
    """What each layer is handed, with embedding vectors of the seed."""
    found: dict[str, Tensor] = {}
    handles = []
    for path, layer in layers.items():

        def keep(module: nn.Module, inputs: Any, path: str = path) -> None:
            found[path] = inputs[0].clone()

        handles.append(layer.register_forward_pre_hook(keep))
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn(3, SHAPE.integers, dtype=torch.float64, generator=generator)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model(dense, torch.randn(3, SHAPE.fields, SHAPE.embedding_width, dtype=torch.float64, generator=generator))
    for handle in handles:
        handle.remove()
    return found


def _reachable(workload: Workload) -> list[set[int]]:
    """Stages after each stage, directly or not."""
    after: list[set[int]] = [set() for _ in workload.stages]
    for index in reversed(range(len(workload.stages))):
        for before in workload.stages[index].depends:
            after[before] |= {index} | after[index]
    return after


def test_deepfm_branches_run_beside_each_other() -> None:
    """DeepFM's factorization machine waits for the embeddings and the dense vector, not for the deep part."""
    workload = workload_of_baseline(BASELINES["deepfm"], SHAPE)
    index = {stage.name: number for number, stage in enumerate(workload.stages)}
    machine = workload.stages[index["crossing"]]
    assert machine.depends == (0, index["dense_arch.model.2"])
    assert index["crossing"] in workload.stages[index["over"]].depends
    assert index["deep.dense_module._mlp.2._linear"] in workload.stages[index["over"]].depends
