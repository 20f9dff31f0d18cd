"""pipeline/serving/precision.py: what is looked up is what was quantized, and how far that is from the tables."""

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from modules.space import NASREC_FULL, OPEN, InputShape, single_operator_any_connection
from modules.space.handmade import handmade
from modules.supernet import Subnet
from pipeline.serving.exported_model import ExportedModel, TrainedParts
from pipeline.serving.names import DensePrecision, TablePrecision
from pipeline.serving.precision import BITS, Bfloat16Interaction, looked_up, quantized, with_precision

SHAPE = InputShape(3, 4, 8)
ROWS = (50, 2, 7, 30)
ARCHITECTURES = {
    "dlrm": handmade("dlrm", SHAPE),
    "autoint_plus": handmade("autoint_plus", SHAPE),
    "open": single_operator_any_connection(OPEN, numpy.random.default_rng(4)),
    "nasrec_full": single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(4)),
}


def model_of(name: str = "dlrm", trainings: int = 2, id_places: tuple[int, ...] = ()) -> ExportedModel:
    """A model with random weights, of one training or several; `id_places`: columns of ids of each field."""
    generator = torch.Generator().manual_seed(1)
    parts = [
        TrainedParts(
            {f"t{number}": torch.randn(rows, 8, generator=generator) for number, rows in enumerate(ROWS)},
            Subnet(ARCHITECTURES[name], SHAPE, torch.Generator().manual_seed(seed)),
        )
        for seed in range(trainings)
    ]
    return ExportedModel(parts, 3, id_places).eval().requires_grad_(False)


def inputs(rows: int = 300) -> tuple[Tensor, Tensor]:
    """dense [B, I] and ids [B, F] over every table's whole range."""
    generator = torch.Generator().manual_seed(6)
    ids = torch.stack([torch.randint(size, (rows,), generator=generator) for size in ROWS], 1)
    return 3 * torch.rand(rows, 3, generator=generator), ids


@given(st.sampled_from(["int8", "int4"]), st.integers(1, 6), st.integers(1, 3), st.integers(0, 2**20))
def test_a_row_is_within_its_own_step(precision: TablePrecision, rows: int, trainings: int, seed: int) -> None:
    """A number of int8 is at most half a step (a 255th of its row's range) and rounding from what it was; a row of int4
    has no larger squared error than one whose 15 steps go over its whole range; rows do not touch each other."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(rows, trainings * 8, generator=generator) * 10 ** torch.randint(-3, 3, (rows, 1)).float()
    found = looked_up(
        quantized(table.reshape(-1, 8), precision), torch.arange(rows)[:, None], BITS[precision], trainings
    )
    each, own = found.reshape(-1, 8), table.reshape(-1, 8)
    step = (own.amax(1) - own.amin(1)) / (2 ** BITS[precision] - 1)
    if precision == "int8":
        assert bool(((each - own).abs().amax(1) <= 0.51 * step + 1e-6 * own.abs().amax(1)).all())
    else:  # its scale and bias are of 16 bits
        allowed = 8 * (step / 2 + 2**-10 * own.abs().amax(1)) ** 2
        assert bool(((each - own).square().sum(1) <= allowed + 1e-9).all())


def test_equal_numbers_are_exact() -> None:
    """A row of one value, as the unknown one that training did not meet, comes back as it is in int8."""
    table = torch.tensor([[0.0] * 8, [0.125] * 8])
    assert torch.equal(looked_up(quantized(table, "int8"), torch.tensor([[0, 1]]), 8, 1)[0], table)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize(("tables", "dense"), [("int8", "fp32"), ("int4", "fp32"), ("fp32", "bf16"), ("int4", "bf16")])
def test_near_the_trained_model(name: str, tables: TablePrecision, dense: DensePrecision) -> None:
    """Probabilities are the model's but for rounding, and not the model's own; the model itself is as it was."""
    model, rows = model_of(name), inputs()
    expected = model(*rows)
    narrowed = with_precision(model, tables, dense)
    difference = (narrowed(*rows) - expected).abs().max()
    allowed = {"fp32": 0.0, "int8": 0.01, "int4": 0.15}[tables] + {"fp32": 0.0, "bf16": 0.02}[dense]
    assert 1e-6 < difference < allowed
    assert torch.equal(model(*rows), expected) and model.table_bits == 32


def test_fp32_is_the_model() -> None:
    """Without rounding every bit stays, and nothing is copied."""
    model = model_of()
    same = with_precision(model, "fp32", "fp32")
    assert torch.equal(same(*inputs()), model(*inputs())) and same.embeddings.data_ptr() == model.embeddings.data_ptr()


def test_sizes() -> None:
    """Bytes of a row of 16: 64 in fp32, 24 in int8, 12 in int4."""
    rows = torch.randn(5, 16)
    assert quantized(rows, "fp32") is rows
    sizes: dict[TablePrecision, int] = {"int8": 24, "int4": 12}
    for precision, size in sizes.items():
        found = quantized(rows, precision)
        assert found.dtype == torch.uint8 and found.shape == (5, size)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dlrm", "open"])
def test_scripted(name: str) -> None:
    """TorchScript gives the same, each precision."""
    model, rows = model_of(name), inputs()
    for tables in BITS:
        for dense in ("fp32", "bf16"):
            narrowed = with_precision(model, tables, dense)
            atol = 1e-6 if dense == "fp32" else 5e-3  # its sums are rounded in another order
            torch.testing.assert_close(torch.jit.script(narrowed)(*rows), narrowed(*rows), rtol=0, atol=atol)


def test_the_standardization_stays_fp32() -> None:
    """Integers far from zero with a small spread, which bfloat16 could not tell apart, keep what tells them apart."""
    network = Subnet(ARCHITECTURES["dlrm"], SHAPE, torch.Generator().manual_seed(0))
    network.integers.mean, network.integers.deviation = torch.full((3,), 1000.0), torch.full((3,), 0.5)
    rows = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)) * 0.5 + 1000
    sparse = torch.zeros(64, 4, 8)
    narrowed = Bfloat16Interaction(network)
    with torch.no_grad():
        expected, found = network(rows, sparse), narrowed(rows, sparse)
    assert found.dtype == torch.float32 and torch.corrcoef(torch.stack([expected, found]))[0, 1] > 0.999
    assert all(one.dtype == torch.float32 for one in network.parameters())
    assert isinstance(narrowed.network.integers, nn.Identity)
