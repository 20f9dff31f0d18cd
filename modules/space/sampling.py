"""Samplers: pure functions (space, generator) → architecture. One draw is one training path or one candidate.

The strategies are NASRec's (arXiv:2207.07187, section 4). Randomness is the numpy Generator handed in.
"""

import dataclasses
from collections.abc import Callable

import numpy

from modules.operators import FLOAT, Head, Operator, Precision
from modules.space.architecture import ALL_FLOAT, Architecture, Block, BlockPrecision
from modules.space.depth import without_dead_blocks
from modules.space.names import SAMPLER_NAMES
from modules.space.search_space import SearchSpace, summable

Sampler = Callable[[SearchSpace, numpy.random.Generator], Architecture]
DrawInputs = Callable[[SearchSpace, int, numpy.random.Generator], tuple[int, ...]]
DrawOperators = Callable[[tuple[Operator, ...], numpy.random.Generator], tuple[Operator, ...]]

DEEPER = 1 / 3
"""Where depth is a choice: the number of blocks is the fewest + Binomial(most − fewest, this). Small networks win."""


def single_operator_any_connection(space: SearchSpace, generator: numpy.random.Generator) -> Architecture:
    """The method's own strategy: one dense and one sparse operator a block, any connections, all else uniform."""
    return _draw(space, generator, draw_inputs, _one)


def single_path(space: SearchSpace, generator: numpy.random.Generator) -> Architecture:
    """One operator and one input a branch."""
    return _draw(space, generator, _one_input, _one)


def any_path(space: SearchSpace, generator: numpy.random.Generator) -> Architecture:
    """Several operators a block, summed: any non-empty subset of those that can be, its size uniform."""
    return _draw(space, generator, draw_inputs, _some)


def full_path(space: SearchSpace, generator: numpy.random.Generator) -> Architecture:
    """Everything on that can be: all operators whose outputs can be summed, all inputs, the most blocks.

    Only `left` and `right` are drawn, and bits where they are a choice: a block has one of each. Of the stems it has
    the last.
    """
    blocks = []
    for number in range(1, space.num_blocks + 1):
        widest = space.widest_block(number)
        left, right = (int(generator.integers(number)) for _ in range(2))
        own = {field: summable(getattr(widest, field)) for field in ("dense_operators", "sparse_operators")}
        block = Block(**{**vars(widest), "left": left, "right": right, **own})
        blocks.append(dataclasses.replace(block, precision=draw_precision(space, block, generator)))
    outputs = tuple(range(space.num_blocks + 1))
    return Architecture(tuple(blocks), space.stems[-1], Head(outputs, outputs) if space.free_head else None)


def warmed_up(sampler: Sampler, step: int, warm_up_steps: int) -> Sampler:
    """The sampler, with the full path instead at a probability that falls linearly from 1 to 0 over the warm-up, in
    which all paths are floating-point ones."""
    probability = 1 - step / warm_up_steps if step < warm_up_steps else 0.0

    def sample(space: SearchSpace, generator: numpy.random.Generator) -> Architecture:
        if probability and generator.random() < probability:
            return full_path(space, generator).in_float()
        drawn = sampler(space, generator)
        return drawn.in_float() if step < warm_up_steps else drawn

    return sample


def draw_inputs(space: SearchSpace, outputs: int, generator: numpy.random.Generator) -> tuple[int, ...]:
    """1 + Binomial(min(m − 1, 3), ½) of the m = `outputs` earlier outputs, without replacement, ascending."""
    count = 1 + int(generator.binomial(min(outputs, space.max_inputs) - 1, 0.5))
    return tuple(sorted(int(index) for index in generator.choice(outputs, count, replace=False)))


def _one_input(space: SearchSpace, outputs: int, generator: numpy.random.Generator) -> tuple[int, ...]:
    return (int(generator.integers(outputs)),)


def draw_operator(choices: tuple[Operator, ...], generator: numpy.random.Generator) -> Operator:
    """One of the operators; each of its options is the default as likely as not, else any choice."""
    operator = choices[int(generator.integers(len(choices)))]
    values = {
        name: options[int(generator.integers(len(options)))]
        for name, options in operator.options.items()
        if generator.integers(2)
    }
    return operator.with_options(values)


def _one(choices: tuple[Operator, ...], generator: numpy.random.Generator) -> tuple[Operator, ...]:
    return (draw_operator(choices, generator),)


def _some(choices: tuple[Operator, ...], generator: numpy.random.Generator) -> tuple[Operator, ...]:
    choices = summable(choices)
    count = 1 + int(generator.integers(len(choices)))
    return tuple(choices[index] for index in sorted(generator.choice(len(choices), count, replace=False)))


def draw_block(
    space: SearchSpace,
    number: int,
    generator: numpy.random.Generator,
    inputs: DrawInputs = draw_inputs,
    operators: DrawOperators = _one,
) -> Block:
    """A random block `number` (from 1)."""
    block = Block(
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
    return dataclasses.replace(block, precision=draw_precision(space, block, generator))


def draw_precision(space: SearchSpace, block: Block, generator: numpy.random.Generator) -> BlockPrecision:
    """Bits for what the block has, each of the space's choices as likely as another."""
    if space.precisions == (FLOAT,):
        return ALL_FLOAT
    made = dict.fromkeys(operator.branch for operator in block.operators())
    return BlockPrecision(**{branch: draw_bits(space.precisions, generator) for branch in made})


def draw_bits(choices: tuple[Precision | None, ...], generator: numpy.random.Generator) -> Precision | None:
    """One of the choices."""
    return choices[int(generator.integers(len(choices)))]


def draw_head(blocks: int, generator: numpy.random.Generator) -> Head:
    """One output of the last block, and of all others, stems included, each as likely as not."""
    outputs = [(side, output) for side in ("dense", "sparse") for output in range(blocks + 1)]
    last = ("dense", "sparse")[int(generator.integers(2))], blocks
    others = [output for output in outputs if output != last]
    read = sorted({last, *(other for other in others if generator.integers(2))})
    dense, sparse = (tuple(output for own, output in read if own == side) for side in ("dense", "sparse"))
    return Head(dense, sparse)


def _draw(
    space: SearchSpace,
    generator: numpy.random.Generator,
    inputs: DrawInputs,
    operators: DrawOperators,
) -> Architecture:
    """Nothing is drawn where a space leaves no choice: depth, stem, options, head."""
    fewest, most = space.depths[0], space.depths[-1]
    depth = fewest + int(generator.binomial(most - fewest, DEEPER)) if most > fewest else most
    stem = space.stems[int(generator.integers(len(space.stems)))] if len(space.stems) > 1 else space.stems[0]
    blocks = tuple(draw_block(space, number, generator, inputs, operators) for number in range(1, depth + 1))
    drawn = Architecture(blocks, stem, draw_head(depth, generator) if space.free_head else None)
    return without_dead_blocks(drawn, fewest, space.max_inputs) if most > fewest else drawn


SAMPLERS: dict[str, Sampler] = {name: globals()[name] for name in SAMPLER_NAMES}
"""By name."""
