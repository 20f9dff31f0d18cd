"""pipeline/race/cost.py: what orders trainings, and limits searched contenders."""

import dataclasses

from modules.space import elementwise_operations, multiply_accumulates
from modules.space.handmade import handmade
from pipeline.race.cost import A_ROW, ELEMENTWISE_COST, operations, training_cost
from pipeline.race.recipes import with_width
from pipeline.run.records.recipe import Recipe
from pipeline.session import Session


def test_operations_count_what_elementwise_ones_take(session: Session) -> None:
    """An elementwise operation counts as several multiply-accumulates; networks without are their products alone."""
    attention, deep = handmade("autoint_plus", session.shape), handmade("logistic_regression", session.shape)
    more = operations(attention, session.shape) - multiply_accumulates(attention, session.shape)
    assert more == ELEMENTWISE_COST * elementwise_operations(attention, session.shape) > 0
    assert operations(deep, session.shape) >= multiply_accumulates(deep, session.shape)


def test_a_training_costs_by_rows_passes_and_network(session: Session) -> None:
    """Cost grows in proportion to the share of rows and to the passes, and with the network and the embedding width; a
    network of nothing still costs its rows."""
    small, large = handmade("logistic_regression", session.shape), handmade("dcn_v2_parallel", session.shape)
    recipe = Recipe(embedding_width=session.shape.embedding_width)
    cost = training_cost(session, large, recipe)
    assert training_cost(session, large, recipe, 0.25) == cost / 4
    assert training_cost(session, large, dataclasses.replace(recipe, epochs=3)) == 3 * cost
    assert A_ROW <= training_cost(session, small, recipe) < cost
    assert training_cost(session, large, with_width(recipe, 2 * recipe.embedding_width)) > cost
