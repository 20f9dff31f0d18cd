"""One mutation of an architecture, as the search's evolution makes them. Randomness is the numpy Generator handed in.

NASRec's (arXiv:2207.07187; the authors' code): a random block has one of its choices drawn anew. Where a space leaves
the depth, the head or the stem open, those are mutated as well.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy

from modules.operators import FLOAT, Head, Operator
from modules.space.architecture import PRECISION_FIELDS, Architecture, Block, BlockPrecision
from modules.space.depth import with_block, without_block, without_dead_blocks
from modules.space.sampling import draw_bits, draw_block, draw_head, draw_inputs, draw_operator
from modules.space.search_space import SearchSpace

WEIGHTS = {"block": 6, "head": 2, "insert": 1, "remove": 1, "stem": 1}
"""How often each kind of mutation is tried, where the space allows it; nothing is drawn where only one kind is left."""


def mutate(architecture: Architecture, space: SearchSpace, generator: numpy.random.Generator) -> Architecture:
    """The architecture after one mutation. It may be the same network: a choice drawn anew can be the old one."""
    depth = len(architecture.blocks)
    allowed = {
        "block": True,
        "head": space.free_head,
        "insert": depth < space.depths[-1],
        "remove": depth > space.depths[0],
        "stem": len(space.stems) > 1,
    }
    kinds = [kind for kind, weight in WEIGHTS.items() for _ in range(weight) if allowed[kind]]
    match kinds[0] if len(set(kinds)) == 1 else _one_of(kinds, generator):
        case "head":
            result = dataclasses.replace(architecture, head=_mutate_head(architecture, generator))
        case "insert":
            result = _insert(architecture, space, generator)
        case "remove":
            result = without_block(architecture, 1 + int(generator.integers(depth)), space.max_inputs)
        case "stem":
            others = [stem for stem in space.stems if stem != architecture.stem]
            result = dataclasses.replace(architecture, stem=_one_of(others, generator))
        case _:
            index = int(generator.integers(depth))
            blocks = list(architecture.blocks)
            blocks[index] = _mutate_block(blocks[index], index + 1, space, generator)
            result = dataclasses.replace(architecture, blocks=tuple(blocks))
    return without_dead_blocks(result, space.depths[0], space.max_inputs) if len(space.depths) > 1 else result


def _one_of(options: Sequence[Any], generator: numpy.random.Generator) -> Any:
    return options[int(generator.integers(len(options)))]


def _mutate_block(block: Block, number: int, space: SearchSpace, generator: numpy.random.Generator) -> Block:
    """Block `number` (from 1) with, as likely as not, a connection field drawn anew, else another one."""
    others = ["operators", "dense_width", "sparse_width", "dense_to_sparse", "sparse_to_dense"]
    if any(operator.options for operator in block.operators()):
        others += ["options"] * 3
    if len(space.precisions) > 1:
        others += ["precision"] * 3
    field = _one_of(space.connections if generator.random() < 0.5 else others, generator)
    changes: dict[str, Any] = {}
    match field:
        case "dense_inputs" | "sparse_inputs":
            changes[field] = draw_inputs(space, number, generator)
        case "left" | "right":
            changes[field] = int(generator.integers(number))
        case "operators":
            changes["dense_operators"] = (draw_operator(space.dense_operators, generator),)
            changes["sparse_operators"] = (draw_operator(space.sparse_operators, generator),)
        case "dense_width":
            changes[field] = _one_of(space.dense_widths, generator)
        case "sparse_width":
            changes[field] = _one_of(space.sparse_widths, generator)
        case "options":
            changes = _mutate_option(block, generator)
        case "precision":
            changes[field] = _mutate_precision(block, space, generator)
        case _:
            changes[field] = getattr(space, field) if generator.integers(2) else None
            had = getattr(block, field) is not None
            if space.precisions != (FLOAT,) and had != (changes[field] is not None):
                own = FLOAT if had else draw_bits(space.precisions, generator)
                changes["precision"] = dataclasses.replace(block.precision, **{field: own})
    return dataclasses.replace(block, **changes)


def _mutate_precision(block: Block, space: SearchSpace, generator: numpy.random.Generator) -> BlockPrecision:
    """The bits of one of the block's branches and mergers set to another of the space's choices."""
    made = {operator.branch for operator in block.operators()}
    branch = _one_of([name for name in PRECISION_FIELDS if name in made], generator)
    others = [own for own in space.precisions if own != block.precision.of(branch)]
    return dataclasses.replace(block.precision, **{branch: _one_of(others, generator)})


def _mutate_option(block: Block, generator: numpy.random.Generator) -> dict[str, Any]:
    """One option of one operator set to another of its choices."""
    fields = [
        (field, operator)
        for field in ("dense_operators", "sparse_operators")
        for operator in getattr(block, field)
        if operator.options
    ]
    field, operator = _one_of(fields, generator)
    name = _one_of(list(operator.options), generator)
    values = [value for value in operator.options[name] if value != getattr(operator, name)]
    changed: Operator = operator.with_options({name: _one_of(values, generator)}) if values else operator
    return {field: tuple(changed if other == operator else other for other in getattr(block, field))}


def _mutate_head(architecture: Architecture, generator: numpy.random.Generator) -> Head:
    """The head reading one output more or one less, or, one time in four, all drawn anew."""
    depth = len(architecture.blocks)
    if generator.integers(4) == 0:
        return draw_head(depth, generator)
    head = architecture.logit
    read = {("dense", output) for output in head.dense} | {("sparse", output) for output in head.sparse}
    changed = _one_of([(side, output) for side in ("dense", "sparse") for output in range(depth + 1)], generator)
    read = read ^ {changed} or read
    dense, sparse = (tuple(sorted(output for own, output in read if own == side)) for side in ("dense", "sparse"))
    return Head(dense, sparse)


def _insert(architecture: Architecture, space: SearchSpace, generator: numpy.random.Generator) -> Architecture:
    """A random block in a random place; the head or a random later block reads its dense or its sparse output."""
    number = 1 + int(generator.integers(len(architecture.blocks) + 1))
    grown = with_block(architecture, number, draw_block(space, number, generator))
    side = _one_of(("dense", "sparse"), generator)
    later = list(range(number + 1, len(grown.blocks) + 1))
    if not later or (space.free_head and generator.integers(2)):
        head = grown.logit
        return dataclasses.replace(grown, head=dataclasses.replace(head, **_more(head, side, number, None, generator)))
    reader, blocks = _one_of(later, generator), list(grown.blocks)
    own = blocks[reader - 1]
    more = _more(own, f"{side}_inputs", number, space.max_inputs, generator)
    blocks[reader - 1] = dataclasses.replace(own, **more)
    return dataclasses.replace(grown, blocks=tuple(blocks))


def _more(
    reader: Block | Head, field: str, output: int, most: int | None, generator: numpy.random.Generator
) -> dict[str, tuple[int, ...]]:
    """The outputs that the field lists and one more, in the place of a random one where they would be too many."""
    inputs = list(getattr(reader, field))
    if most is not None and len(inputs) >= most:
        inputs.remove(_one_of(inputs, generator))
    return {field: tuple(sorted({*inputs, output}))}
