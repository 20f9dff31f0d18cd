"""What a contender costs in training, roughly: it limits searched ones and orders trainings, the longest first."""

from modules.space import Architecture, InputShape, elementwise_operations, multiply_accumulates
from pipeline.run.records.recipe import Recipe
from pipeline.session import Session
from pipeline.training.standalone import with_recipe

ELEMENTWISE_COST = 30
"""Multiply-accumulates that take as long as an elementwise operation in training on a CPU (DECISIONS.md)."""
A_ROW = 250_000
"""Multiply-accumulates that take as long as what a row costs whatever the network: it is read and looked up."""
A_STEP = 64_000_000
"""Those that take as long as what a step costs whatever its batch (DECISIONS.md); 256 rows cost as much."""


def operations(architecture: Architecture, shape: InputShape) -> int:
    """Multiply-accumulates per row, with elementwise operations counted by what they take."""
    return multiply_accumulates(architecture, shape) + ELEMENTWISE_COST * elementwise_operations(architecture, shape)


def cost_of_a_row(session: Session, architecture: Architecture, recipe: Recipe) -> float:
    """What a row takes in training, in multiply-accumulates."""
    fixed = A_ROW + A_STEP / recipe.batch_size
    return operations(architecture, with_recipe(session, recipe).shape) + fixed


def training_cost(session: Session, architecture: Architecture, recipe: Recipe, row_share: float = 1.0) -> float:
    """What a training takes, in numbers that order those of one log: the longest are to start first."""
    return row_share * recipe.epochs * cost_of_a_row(session, architecture, recipe)
