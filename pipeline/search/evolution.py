"""Regularized (aging) evolution (Real et al., arXiv:1802.01548) with NASRec's sizes and mutations (search_space.md).

Random architectures to start with; then each generation the best of a tournament has children, and the oldest leave.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from modules.space import Architecture, Block, SearchSpace, single_operator_any_connection
from modules.space.sampling import draw_inputs
from pipeline.search.candidate import Candidate
from pipeline.search.config import SearchConfig
from pipeline.search.proposals import Proposals, check_state, generator_state


class RegularizedEvolution:
    """The children of a generation are drawn at once, when all candidates of the last one are told.

    `generator` (numpy.random.default_rng) is the strategy's own from here on.
    """

    def __init__(self, config: SearchConfig, space: SearchSpace, generator: numpy.random.Generator) -> None:
        self._config, self._space, self._generator = config, space, generator
        self._proposals = Proposals()
        self._generation = 0
        self._told: list[Candidate] = []
        self._population: list[Candidate] = []

    @property
    def generation(self) -> int:
        """Generation of the architectures that `ask` gives out now; 0 is the random start."""
        return self._generation

    @property
    def population(self) -> tuple[Candidate, ...]:
        """The members alive, oldest first."""
        return tuple(self._population)

    def ask(self, n: int) -> list[Architecture]:
        """At most n architectures of this generation; empty when it waits to be told, or the search is over."""
        if not self._proposals and self._generation <= self._config.generations:
            self._begin_generation()
        return self._proposals.ask(n)

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Hear scores; with the last one of the generation its members join and the oldest leave."""
        self._proposals.settle(candidates)
        self._told += candidates
        if not self._proposals and self._told:
            self._population += sorted(self._told, key=lambda candidate: candidate.index)
            self._population = self._population[-self._config.initial_population :]
            self._told = []
            self._generation += 1

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides what comes next, as plain JSON values."""
        return {
            **self._identity(),
            "generation": self._generation,
            "told": [candidate.to_json() for candidate in self._told],
            "population": [candidate.to_json() for candidate in self._population],
            "proposals": self._proposals.state_dict(),
            "generator": generator_state(self._generator),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`; ValueError when it is of another search."""
        check_state(state, self._identity())
        self._generation = state["generation"]
        self._told = [Candidate.from_json(candidate) for candidate in state["told"]]
        self._population = [Candidate.from_json(candidate) for candidate in state["population"]]
        self._proposals.load_state_dict(state["proposals"])
        self._generator.bit_generator.state = state["generator"]

    def _identity(self) -> dict[str, Any]:
        return {"config": dataclasses.asdict(self._config), "space": self._space.name}

    def _begin_generation(self) -> None:
        """Line up the random start, or a parent's children. Where mutations find no new network, a random one."""

        def random() -> Architecture:
            return single_operator_any_connection(self._space, self._generator)

        if self._generation == 0:
            count, draw = self._config.initial_population, random
        else:
            count, draw = self._config.children, self._mutation_of(self._tournament_winner().architecture)
        for _ in range(count):
            if not self._proposals.propose(draw) and not self._proposals.propose(random):
                break  # the space is used up

    def _mutation_of(self, parent: Architecture) -> Callable[[], Architecture]:
        mutations = mutations_a_child(self._generation - 1, self._config.generations)
        return lambda: mutate(parent, mutations, self._space, self._generator)

    def _tournament_winner(self) -> Candidate:
        """The best of a random part of the population; the older one where scores tie."""
        size = min(self._config.tournament, len(self._population))
        drawn = self._generator.choice(len(self._population), size, replace=False)
        members = [self._population[int(place)] for place in drawn]
        return min(members, key=lambda member: (member.score, member.index))


def mutations_a_child(generation: int, generations: int) -> int:
    """(G − g) // max(20, G // 5) + 1 for generation g = 0 … G − 1 of G = `generations`.

    >>> [mutations_a_child(g, 240) for g in (0, 1, 48, 49, 239)]
    [6, 5, 5, 4, 1]
    """
    return (generations - generation) // max(20, generations // 5) + 1


def mutate(
    architecture: Architecture, mutations: int, space: SearchSpace, generator: numpy.random.Generator
) -> Architecture:
    """The architecture after that many mutations: each time a random block has one of its fields drawn anew."""
    blocks = list(architecture.blocks)
    for _ in range(mutations):
        index = int(generator.integers(len(blocks)))
        blocks[index] = _mutate_block(blocks[index], index + 1, space, generator)
    return Architecture(tuple(blocks))


def _mutate_block(block: Block, number: int, space: SearchSpace, generator: numpy.random.Generator) -> Block:
    """Block `number` (from 1) with, as likely as not, a connection field drawn anew, else another one."""

    def one_of(options: Sequence[Any]) -> Any:
        return options[int(generator.integers(len(options)))]

    connections = ["dense_inputs", "sparse_inputs", *(["left", "right"] if space.has_binary_operators else [])]
    others = ["operators", "dense_width", "sparse_width", "dense_to_sparse", "sparse_to_dense"]
    field = one_of(connections if generator.random() < 0.5 else others)
    changes: dict[str, Any] = {}
    match field:
        case "dense_inputs" | "sparse_inputs":
            changes[field] = draw_inputs(space, number, generator)
        case "left" | "right":
            changes[field] = int(generator.integers(number))
        case "operators":
            changes["dense_operators"] = (one_of(space.dense_operators),)
            changes["sparse_operators"] = (one_of(space.sparse_operators),)
        case "dense_width":
            changes[field] = one_of(space.dense_widths)
        case "sparse_width":
            changes[field] = one_of(space.sparse_widths)
        case _:
            changes[field] = bool(generator.integers(2))
    return dataclasses.replace(block, **changes)
