"""Networks with bits as contenders: trained from scratch with quantization, resumed, exported, trained on."""

import dataclasses
import shutil
from unittest import mock
from unittest.mock import DEFAULT

import pytest
import torch

from modules.operators.low_bit import INPUT_RANGE, LEAST_SET, LowBitLinear
from modules.operators.precision import Precision
from modules.space import Architecture
from modules.space.architecture import BlockPrecision
from modules.space.handmade import handmade
from pim_codesign import bits_of_subnet, calibrate, quantize
from pim_codesign.functional.quantize import QuantizedLinear
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.results import retrain_stage
from pipeline.session import Session
from pipeline.training import loop
from pipeline.training.standalone import Contender, build, train_standalone, with_recipe

RECIPE = Recipe(embedding_width=8, batch_size=64)


def low_bit(architecture: Architecture, weight_bits: int, activation_bits: int) -> Architecture:
    """The architecture with these bits wherever there is an operator."""
    precision = Precision(weight_bits, activation_bits)
    blocks = []
    for block in architecture.blocks:
        made = {operator.branch: precision for operator in block.operators()}
        blocks.append(dataclasses.replace(block, precision=BlockPrecision(**made)))
    return dataclasses.replace(architecture, blocks=tuple(blocks))


def dcn(session: Session, name: str, bits: tuple[int, int]) -> Contender:
    """A hand-made model with bits."""
    architecture = low_bit(handmade("dcn_v2_parallel", with_recipe(session, RECIPE).shape), *bits)
    return build(session, retrain_stage("given", name, 0), name, architecture, RECIPE)


@pytest.mark.slow
def test_a_network_with_bits_is_trained_and_resumed(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clips are set by the first step and learned since; stopped in the middle it ends as if it had not been."""
    contender = dcn(session, "low", (4, 6))
    clips = [name for name, _ in contender.network.named_parameters() if name.endswith(INPUT_RANGE)]
    matrices = [one for one in contender.network.modules() if isinstance(one, LowBitLinear)]
    assert len(clips) == len(matrices) > 3 and {one.weight_bits for one in matrices} == {4}
    trained = train_standalone(contender)
    assert all(float(trained.trainee.parameters[name].detach()) > LEAST_SET for name in clips)
    shutil.rmtree(session.folder.checkpoints(contender.stage))
    step = mock.Mock(side_effect=[DEFAULT] * 7 + [KeyboardInterrupt], wraps=loop.train_step)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "train_step", step)
        train_standalone(dcn(session, "low", (4, 6)))
    resumed = train_standalone(dcn(session, "low", (4, 6)))
    assert resumed.metrics == trained.metrics
    for name, parameter in trained.trainee.parameters.items():
        assert torch.equal(parameter, resumed.trainee.parameters[name]), name
    assert train_standalone(dcn(session, "low", (4, 6))).metrics == trained.metrics  # loaded


@pytest.mark.slow
def test_the_chip_takes_the_bits_and_clips_of_the_training(session: Session) -> None:
    """Mapped with the bits that it was trained with, its matrices stay as they are; with others they are calibrated."""
    contender = dcn(session, "mapped", (6, 4))
    train_standalone(contender)
    network = contender.network.eval()
    architecture = low_bit(handmade("dcn_v2_parallel", contender.session.shape), 6, 4)
    shape = contender.session.shape
    own = bits_of_subnet(architecture, shape)
    assert {bits for path, bits in own.items() if path.startswith("blocks.")} == {(6, 4)} and own["head"] == (8, 8)
    dense, sparse = torch.rand(256, shape.integers), torch.randn(256, shape.fields, shape.embedding_width) / 10
    calibration = calibrate(network, dense, sparse)
    kept = quantize(network, own, calibration)
    other = quantize(network, {**own, "blocks.0.dense.fc": (4, 4)}, calibration)
    for name, module in network.named_modules():
        if isinstance(module, LowBitLinear):
            (left,) = (one for path, one in kept.named_modules() if path == name)
            assert isinstance(left, LowBitLinear)
            assert torch.equal(left.input_range, module.input_range) and torch.equal(left.weight, module.weight)
    changed = {name for name, one in other.named_modules() if isinstance(one, QuantizedLinear)}
    assert {name for name, one in kept.named_modules() if isinstance(one, QuantizedLinear)} < changed
    assert "blocks.0.dense.fc.project" in changed


@pytest.mark.slow
def test_bits_reach_the_scripted_network(session: Session) -> None:
    """TorchScript's forward of a trained network gives the trained network's features, bit for bit."""
    contender = dcn(session, "scripted", (4, 4))
    train_standalone(contender)
    network, shape = contender.network.eval(), contender.session.shape
    dense, sparse = torch.rand(512, shape.integers), torch.randn(512, shape.fields, shape.embedding_width) / 10
    with torch.no_grad():
        scripted = torch.jit.script(network)
        for _ in range(3):  # TorchScript optimizes from the second call on
            torch.testing.assert_close(scripted(dense, sparse), network(dense, sparse), rtol=1e-5, atol=1e-5)
