"""What every operator must say, and what is refused."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import nn

from modules.operators import FullyConnected, InputShape, LayerNorm, Matrix, Operator, Read, Step, check_steps
from modules.space import NASREC_FULL, Architecture, Block
from modules.space.plan import plan
from modules.supernet import Subnet

PARTS = ("name", "title", "outline", "branch", "width", "reads", "steps", "network")
OPERATORS = (
    *NASREC_FULL.dense_operators,
    *NASREC_FULL.sparse_operators,
    NASREC_FULL.dense_to_sparse,
    NASREC_FULL.sparse_to_dense,
)
SHAPE = InputShape(3, 4, 8)


@pytest.mark.parametrize("part", PARTS)
def test_an_operator_that_forgets_a_part_cannot_be_constructed(part: str) -> None:
    """Every part is asked for by name."""
    given: dict[str, Any] = {name: getattr(FullyConnected, name) for name in PARTS if name != part}
    with pytest.raises(TypeError, match=part):
        type("Forgetful", (Operator,), given)()


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_operators_are_values(operator: Operator) -> None:
    """Equal to another of its type, hashed alike, and different from every other operator."""
    again = type(operator)()
    assert operator == again and hash(operator) == hash(again) and operator is not again
    assert [other for other in OPERATORS if other == operator] == [operator]


def test_no_operator_of_the_project_lacks_the_authors_count() -> None:
    """All eight are theirs; an operator that does not say so is not theirs."""
    block = NASREC_FULL.widest_block(1)
    parts = plan(Architecture((block,)), SHAPE)
    assert all(part.operator.nasrec_multiply_accumulates(part.block, part.inputs) is not None for part in parts)
    assert Operator.nasrec_multiply_accumulates(parts[0].operator, parts[0].block, parts[0].inputs) is None


MATRIX = Matrix(((0, 3),), 2)
READ = Read("dense", 0)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((Step("a", (READ,), MATRIX), Step("a", ("a",), MATRIX)), "two layers are called 'a'"),
        ((Step("a", (READ,), MATRIX, LayerNorm("a", 2)),), "two layers are called 'a'"),
        ((Step("a", (READ, "b"), MATRIX), Step("b", (), MATRIX)), "waits for 'b', which is no earlier step"),
        ((Step("a", (Read("sparse", 0), READ), MATRIX),), "which `reads` does not name"),
        ((Step("a", (), MATRIX),), "no step waits for"),
        ((Step("a", (READ,), Matrix(((3, 3),), 2)),), "empty matrix"),
    ],
)
def test_a_description_that_cannot_be_built_is_refused(steps: tuple[Step, ...], message: str) -> None:
    """The message names the place and what is wrong."""
    with pytest.raises(ValueError, match=message) as error:
        check_steps("here", steps, (READ,))
    assert str(error.value).startswith("here")


@dataclass(frozen=True)
class Wrong(FullyConnected):
    """FC with another network."""

    asks: str = ""

    def network(self, block: Any, inputs: Any, layers: Any) -> nn.Module:
        layers["project"], layers[self.asks] if self.asks else None
        return nn.Identity()


@pytest.mark.parametrize(("asks", "message"), [("", r"does not use layers \['norm'\]"), ("gate", "asks for layer")])
def test_a_network_uses_the_layers_that_are_described(asks: str, message: str) -> None:
    """Both a forgotten layer and an unknown one are found when the network is first built."""
    block = Block((Wrong(asks),), NASREC_FULL.sparse_operators[:1], 2, 2, (0,), (0,), 0, 0, None, None)
    with pytest.raises(ValueError, match=rf"blocks\.0\.dense\.fc: `network` {message}"):
        Subnet(Architecture((block,)), SHAPE, torch.Generator().manual_seed(0))


def test_summed_operators_have_one_width() -> None:
    """Operators of one branch whose outputs differ in width are refused with their widths."""

    class Wider(FullyConnected):
        name = "wider"

        def width(self, block: Any, shape: InputShape) -> int:
            return 2 * block.dense_width

    block = Block((FullyConnected(), Wider()), NASREC_FULL.sparse_operators[:1], 2, 2, (0,), (0,), 0, 0, None, None)
    with pytest.raises(ValueError, match=r"block 1: \['fc', 'wider'\] make outputs of widths \[2, 4\]"):
        plan(Architecture((block,)), SHAPE)
    assert plan(Architecture((replace(block, dense_operators=(Wider(),)),)), SHAPE)[-1].multiply_accumulates == 4 + 16
