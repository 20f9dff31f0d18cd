"""pipeline/training/supernet.py: which paths a step trains, on which rank, and that they are drawn again the same."""

import dataclasses
from typing import Any

import pytest
import torch

from modules.supernet import Path
from pipeline.session import Session
from pipeline.training import stage, supernet
from pipeline.training.supernet import build_supernet, validation_architectures


def changed(session: Session, rank: int = 0, world_size: int = 1, **fields: Any) -> Session:
    """The session with other settings of the supernet's training, as another rank has it (for drawing only)."""
    config = dataclasses.replace(session.config, supernet=dataclasses.replace(session.config.supernet, **fields))
    processes = dataclasses.replace(session.processes, rank=rank, world_size=world_size)
    return dataclasses.replace(session, config=config, processes=processes)


def rectangles(path: Path) -> list[tuple[Any, ...]]:
    """What tells a path from another: the names and places of its slices."""
    return [(part.name, *((one.start, one.stop) for one in part.index)) for part in path.slices]


@pytest.mark.slow
def test_steps_draw_new_paths_and_a_restart_the_same(session: Session) -> None:
    """Each step has paths of its own; from a step's generator state they are drawn again, by a new supernet too."""
    own = changed(session, paths_per_step=2)
    _, trainee = build_supernet(own)
    drawn, states = [], []
    for step in range(4):
        states.append(trainee.generator_state())
        drawn.append([rectangles(path) for path in trainee.draw_paths(step).paths])
    flat = [str(path) for paths in drawn for path in paths]
    assert len(flat) == 8 and len(set(flat)) > 4
    _, resumed = build_supernet(own)
    resumed.restore_generator(states[2])
    for one in (trainee, resumed):
        one.restore_generator(states[2])
        assert [[rectangles(path) for path in one.draw_paths(step).paths] for step in (2, 3)] == drawn[2:]


def test_the_steps_slices_hold_its_paths(session: Session) -> None:
    """Every slice of a path lies in exactly one of the step's, which shares the supernet's own memory."""
    supernet, trainee = build_supernet(changed(session, paths_per_step=3))
    step = trainee.draw_paths(0)
    parameters = supernet.parameters_by_name()
    masks = {name: torch.zeros(parameter.shape, dtype=torch.int) for name, parameter in parameters.items()}
    for part in step.slices:
        masks[part.name][part.index] += 1
        storage = part.leaf.untyped_storage().data_ptr()
        assert storage == parameters[part.name].untyped_storage().data_ptr()
    assert max(int(mask.max()) for mask in masks.values()) == 1
    for part in (part for path in step.paths for part in path.slices):
        assert bool((masks[part.name][part.index] == 1).all())


@pytest.mark.slow
def test_ranks_share_paths_or_have_their_own(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without distinct_paths both ranks train the same; with it, each a part of one draw; the slices are common."""
    monkeypatch.setattr(supernet, "standardization", lambda _: None)  # it would wait for the other rank
    monkeypatch.setattr(stage, "planned", lambda *_, **__: None)  # and so would this
    for distinct in (False, True):
        fields = {"paths_per_step": 2, "distinct_paths": distinct}
        steps = [build_supernet(changed(session, rank, 2, **fields))[1].draw_paths(0) for rank in range(2)]
        paths = [[rectangles(path) for path in step.paths] for step in steps]
        assert [len(one) for one in paths] == [2, 2]
        assert (paths[0] != paths[1]) == distinct
        first, second = ([(part.name, part.index) for part in step.slices] for step in steps)
        assert first == second
        together = build_supernet(changed(session, paths_per_step=4))[1].draw_paths(0)
        drawn = [rectangles(path) for path in together.paths]
        assert drawn == paths[0] + paths[1] if distinct else drawn[:2] == paths[0]


@pytest.mark.slow
def test_a_warm_up_begins_with_the_full_path(session: Session) -> None:
    """The first step of a warm-up trains more than any sampled path; after it the sampler alone draws."""
    sizes = []
    for step in (0, 1):
        _, trainee = build_supernet(changed(session, path_warm_up_steps=1))
        sizes.append(sum(part.leaf.numel() for part in trainee.draw_paths(step).slices))
    _, plain = build_supernet(session)
    assert sizes[1] == sum(part.leaf.numel() for part in plain.draw_paths(0).slices)
    assert sizes[0] > 2 * sizes[1]


def test_validation_paths_are_always_the_same(session: Session) -> None:
    """They follow from the run's seed; more of them begin with the same ones, and the space holds each."""
    few, many = (validation_architectures(changed(session, validation_paths=count)) for count in (2, 5))
    assert many[:2] == few == validation_architectures(session) and len(set(many)) == 5
    for architecture in many:
        session.space.check(architecture)
    other = dataclasses.replace(session, config=dataclasses.replace(session.config, seed=session.config.seed + 1))
    assert validation_architectures(other) != few


def test_a_new_supernet_predicts_one_half(session: Session) -> None:
    """The head starts at zero: every sub-network's logit is 0 whatever the rows."""
    supernet, _ = build_supernet(session)
    shape = session.shape
    inputs = torch.rand(3, shape.integers), torch.rand(3, shape.fields, shape.embedding_width)
    for architecture in validation_architectures(session):
        assert torch.equal(supernet(*inputs, architecture), torch.zeros(3))
