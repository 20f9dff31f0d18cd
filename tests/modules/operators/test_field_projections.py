"""The field projections against their formula, and where they stand in a network."""

import pytest
import torch

from modules.operators import STEP_SHARE, FieldProjections, Inputs, InputShape, Linear, StemShape, build, check_steps
from modules.space import NASREC_FULL, multiply_accumulates, parameter_count
from modules.space.handmade import handmade
from modules.space.plan import STEM_BLOCK, plan
from modules.supernet import Subnet, Supernet

D = 8
WIDTHS = (4, 8, 1, 3)
SHAPE = InputShape(3, 4, D, table_widths=WIDTHS)


def test_formula():
    """Rows side by side → each narrower field's times its matrix, the others' as they are; eager and scripted."""
    inputs, operator = Inputs(StemShape(3, 4, D), (), ()), FieldProjections(WIDTHS)
    steps = operator.steps(STEM_BLOCK, inputs)
    check_steps("projections", steps, ())
    layers = {step.name: Linear(step.matrix.inputs, D, False, None).double() for step in steps}
    assert list(layers) == ["fields.0", "fields.2", "fields.3"]
    network = build("projections", operator, STEM_BLOCK, inputs, layers)
    rows = torch.randn(5, sum(WIDTHS), dtype=torch.float64)
    parts = rows.split(WIDTHS, dim=1)
    whole = {name: torch.eye(D, dtype=torch.float64) for name in ("fields.1",)}
    matrices = [layers[name].weight if name in layers else whole[name] for name in (f"fields.{f}" for f in range(4))]
    factors = (STEP_SHARE, 1.0, STEP_SHARE, STEP_SHARE)
    products = (part @ matrix.T for part, matrix in zip(parts, matrices, strict=True))
    expected = torch.stack([product * factor for product, factor in zip(products, factors, strict=True)], dim=1)
    torch.testing.assert_close(network(rows), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.jit.script(network)(rows.view(5, 4, 4)), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["dlrm", "logistic_regression"])
def test_a_network_with_tables_of_unequal_widths(name):
    """It is the network without them, given the projected vectors; what it adds is counted: w_f · D of each narrower
    field, once in parameters and once in multiply-accumulates."""
    plain_shape = InputShape(3, 4, D)
    architecture = handmade(name, plain_shape)
    projected = Subnet(architecture, SHAPE, torch.Generator().manual_seed(0))
    plain = Subnet(architecture, plain_shape)
    own = {key: value for key, value in projected.state_dict().items() if not key.startswith("projections.")}
    plain.load_state_dict(own)
    dense, rows = torch.rand(6, 3), torch.randn(6, sum(WIDTHS))
    assert projected.projections is not None and plain.projections is None
    torch.testing.assert_close(projected(dense, rows), plain(dense, projected.projections(rows)))
    torch.testing.assert_close(torch.jit.script(projected)(dense, rows), projected(dense, rows))
    added = D * sum(width for width in WIDTHS if width < D)
    assert parameter_count(architecture, SHAPE) - parameter_count(architecture, plain_shape) == added
    assert multiply_accumulates(architecture, SHAPE) - multiply_accumulates(architecture, plain_shape) == added
    assert sum(parameter.numel() for parameter in projected.parameters()) == parameter_count(architecture, SHAPE)


def test_nothing_is_added_where_all_are_as_wide_as_d():
    """Widths that are all D are no widths of their own, and a supernet, whose tables are alike, takes no others."""
    alike, plain = InputShape(3, 4, D, table_widths=(D,) * 4), InputShape(3, 4, D)
    assert plan(handmade("dlrm", plain), alike) == plan(handmade("dlrm", plain), plain)
    Supernet(NASREC_FULL, alike)
    with pytest.raises(ValueError, match=r"table_widths is \(4, 8, 1, 3\); a supernet's tables"):
        Supernet(NASREC_FULL, SHAPE)


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ((4, 8), "has 2 widths for 4 fields"),
        ((4, 9, 1, 1), "at most the embedding width, 8"),
        ((0, 1, 1, 1), "least 1"),
    ],
)
def test_widths_that_cannot_be(widths, message):
    """One for each field, from 1 to D."""
    with pytest.raises(ValueError, match=f"InputShape.table_widths .*{message}"):
        InputShape(3, 4, D, table_widths=widths)
