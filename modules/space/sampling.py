"""Samplers: pure functions (space, generator) → architecture. One draw is one training path or one candidate.

The strategies are NASRec's (arXiv:2207.07187, section 4). Randomness is the numpy Generator handed in.
"""

from collections.abc import Callable

import numpy

from modules.operators import Operator
from modules.space.architecture import Architecture, Block
from modules.space.search_space import SearchSpace

Sampler = Callable[[SearchSpace, numpy.random.Generator], Architecture]


def single_operator_any_connection(space: SearchSpace, generator: numpy.random.Generator) -> Architecture:
    """The method's own strategy: one dense and one sparse operator a block, any connections, all else uniform."""
    return _draw(space, generator, draw_inputs, _one)


def single_path(space: SearchSpace, generator: numpy.random.Generator) -> Architecture:
    """One operator and one input a branch."""
    return _draw(space, generator, _one_input, _one)


def any_path(space: SearchSpace, generator: numpy.random.Generator) -> Architecture:
    """Several operators a block, summed: any non-empty subset, its size uniform."""
    return _draw(space, generator, draw_inputs, _some)


def full_path(space: SearchSpace, generator: numpy.random.Generator) -> Architecture:
    """Everything on. Only `left` and `right` are drawn: a block has one of each."""
    blocks = []
    for number in range(1, space.num_blocks + 1):
        widest = space.widest_block(number)
        left, right = (int(generator.integers(number)) for _ in range(2))
        blocks.append(Block(**{**vars(widest), "left": left, "right": right}))
    return Architecture(tuple(blocks))


def warmed_up(sampler: Sampler, step: int, warm_up_steps: int) -> Sampler:
    """The sampler, with the full path instead at a probability that falls linearly from 1 to 0 over the warm-up."""
    probability = 1 - step / warm_up_steps if step < warm_up_steps else 0.0

    def sample(space: SearchSpace, generator: numpy.random.Generator) -> Architecture:
        if probability and generator.random() < probability:
            return full_path(space, generator)
        return sampler(space, generator)

    return sample


def draw_inputs(space: SearchSpace, outputs: int, generator: numpy.random.Generator) -> tuple[int, ...]:
    """1 + Binomial(min(m − 1, 3), ½) of the m = `outputs` earlier outputs, without replacement, ascending."""
    count = 1 + int(generator.binomial(min(outputs, space.max_inputs) - 1, 0.5))
    return tuple(sorted(int(index) for index in generator.choice(outputs, count, replace=False)))


def _one_input(space: SearchSpace, outputs: int, generator: numpy.random.Generator) -> tuple[int, ...]:
    return (int(generator.integers(outputs)),)


def _one(options: tuple[Operator, ...], generator: numpy.random.Generator) -> tuple[Operator, ...]:
    return (options[int(generator.integers(len(options)))],)


def _some(options: tuple[Operator, ...], generator: numpy.random.Generator) -> tuple[Operator, ...]:
    count = 1 + int(generator.integers(len(options)))
    return tuple(options[index] for index in sorted(generator.choice(len(options), count, replace=False)))


def _draw(
    space: SearchSpace,
    generator: numpy.random.Generator,
    inputs: Callable[[SearchSpace, int, numpy.random.Generator], tuple[int, ...]],
    operators: Callable[[tuple[Operator, ...], numpy.random.Generator], tuple[Operator, ...]],
) -> Architecture:
    return Architecture(
        tuple(
            Block(
                dense_operators=operators(space.dense_operators, generator),
                sparse_operators=operators(space.sparse_operators, generator),
                dense_width=int(generator.choice(space.dense_widths)),
                sparse_width=int(generator.choice(space.sparse_widths)),
                dense_inputs=inputs(space, number, generator),
                sparse_inputs=inputs(space, number, generator),
                left=int(generator.integers(number)),
                right=int(generator.integers(number)),
                dense_to_sparse=space.dense_to_sparse if generator.integers(2) else None,
                sparse_to_dense=space.sparse_to_dense if generator.integers(2) else None,
            )
            for number in range(1, space.num_blocks + 1)
        )
    )


SAMPLERS: dict[str, Sampler] = {
    "single_operator_any_connection": single_operator_any_connection,
    "single_path": single_path,
    "any_path": any_path,
    "full_path": full_path,
}
