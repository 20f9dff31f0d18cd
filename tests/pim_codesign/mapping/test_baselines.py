"""The workload of torchrec's models, found by running them."""

import pytest
import torch
from torch import Tensor, nn

from modules.baselines import BASELINES, multiply_accumulates
from modules.space import InputShape
from pim_codesign import workload_of_baseline

SHAPE = InputShape(13, 26, 16)


@pytest.mark.parametrize("name", list(BASELINES))
def test_counts_agree_with_the_baselines_own(name: str) -> None:
    """All matrices and interactions are found: multiply-accumulates equal the baseline's own exact count."""
    model = BASELINES[name].build(SHAPE, torch.Generator().manual_seed(0))
    workload = workload_of_baseline(model, SHAPE)
    assert workload.multiply_accumulates == multiply_accumulates(model)
    weights = sum(p.numel() for n, p in model.named_parameters() if p.dim() == 2)
    assert sum(stage.inputs * stage.outputs for stage in workload.stages) == weights


@pytest.mark.parametrize("name", list(BASELINES))
def test_running_it_leaves_no_trace(name: str) -> None:
    """Parameters, gradients and hooks are as before."""
    model = BASELINES[name].build(SHAPE, torch.Generator().manual_seed(0)).requires_grad_(False)
    workload_of_baseline(model, SHAPE)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(not module._forward_hooks for module in model.modules())


def test_deepfm_branches_run_beside_each_other() -> None:
    """DeepFM's factorization machine waits for the embeddings and the dense vector, not for the deep part."""
    workload = workload_of_baseline(BASELINES["deepfm"].build(SHAPE, None), SHAPE)
    index = {stage.name: number for number, stage in enumerate(workload.stages)}
    machine = workload.stages[index["factorization_machine"]]
    assert machine.depends == (0, index["dense_arch.model.2"])
    assert index["factorization_machine"] in workload.stages[index["over"]].depends
    assert index["deep.dense_module._mlp.2._linear"] in workload.stages[index["over"]].depends


def test_a_linear_that_runs_on_every_field_counts_its_vectors() -> None:
    """A matrix shared by the fields has V = F."""

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.each, self.last = nn.Linear(16, 4), nn.Linear(26 * 4, 1)

        def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
            return self.last(self.each(sparse).flatten(1)).squeeze(1)

    stages = workload_of_baseline(Shared(), SHAPE).stages
    assert [(stage.vectors, stage.depends) for stage in stages] == [(0, ()), (26, (0,)), (1, (1,))]


def test_unknown_weights_are_refused() -> None:
    """A matrix that is in no known kind of layer is named, not forgotten."""

    class Bilinear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.form = nn.Bilinear(13, 13, 1)

        def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
            return self.form(dense, dense).squeeze(1)

    with pytest.raises(ValueError, match=r"form\.weight"):
        workload_of_baseline(Bilinear(), SHAPE)
