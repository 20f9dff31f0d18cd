"""Bad input at every public entry: a ValueError that names what it is, where it stands and what is allowed."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from pim_codesign import (
    PRESETS,
    Calibration,
    CodesignConfig,
    Crossbars,
    Hardware,
    Imperfections,
    Mapping,
    OperatorMapping,
    Workload,
    calibrate,
    evaluate,
    evaluate_many,
    quantize,
    with_options,
)
from pim_codesign.__main__ import Options, main
from pim_codesign.checks import finite, integer_matrix, number, whole
from pim_codesign.circuits import ISAAC_ADC, Adc
from pim_codesign.circuits.adc import neurosim_power_w
from pim_codesign.devices import ISAAC_CELL, Cell, StuckAt, ir_drop_gain
from pim_codesign.functional.quantize import QuantizedLinear
from pim_codesign.hardware import Technology
from pim_codesign.mapping import ComputedProduct, Embeddings, Stage
from pim_codesign.mapping.mapping import max_dup

LOOKUP = Stage("embeddings", "", ())
WORKLOAD = Workload((LOOKUP, Stage("layer", "layer", (), 1, 4, 4)), Embeddings(1, 1))
NAN = math.nan
SEVEN = (1.0,) * 7


class OneLayer(nn.Module):
    """A model with one matrix."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)
        nn.init.constant_(self.layer.weight, weight)

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """[B, 3], ignored -> [B]"""
        return self.layer(dense.log()).squeeze(1)


def rows(count: int = 2, fill: float = 1.0) -> tuple[Tensor, Tensor]:
    """Calibration rows."""
    return torch.full((count, 3), fill), torch.ones(count, 1, 1)


def crossbars(weights: Any = ((1, 2, 3),), bits: Any = 8, hardware: Any = PRESETS["isaac32"]) -> Crossbars:
    """A programmed matrix."""
    return Crossbars(weights, bits, hardware)


BITS: dict[str, Any] = {"layer": (8, 8)}
RANGES = Calibration({"layer": {8: 1.0}})
BAD: dict[str, tuple[Callable[[], Any], str]] = {
    # hardware and its parts
    "bool for a number": (lambda: Hardware(cell_bits=True), r"Hardware.cell_bits is True; choose one of \[1, 2, 4\]"),
    "float for a number": (lambda: Hardware(array_rows=128.0), "Hardware.array_rows is 128.0; choose"),
    "number for a bool": (lambda: Hardware(flip_encoding=1), "Hardware.flip_encoding is 1; choose"),
    "adc of 8.5 bits": (lambda: Hardware(adc_bits=8.5), "Hardware.adc_bits is 8.5; choose"),
    "no cell": (lambda: Technology(None, ISAAC_ADC), "Technology.cell is None; every technology has a Cell"),
    "no adc": (lambda: Technology(ISAAC_CELL, None), "Technology.adc is None"),
    "cell of no energy": (lambda: Cell(0.0, 1.0, 1.0), "Cell.read_energy_fj is 0.0; .* above 0"),
    "cell of NaN time": (lambda: Cell(1.0, NAN, 1.0), "Cell.read_time_ns is nan"),
    "cell too active": (lambda: Cell(1.0, 1.0, 1.5), "Cell.activity is 1.5; .* at most 1"),
    "short adc table": (lambda: Adc((1.0,), SEVEN, SEVEN), "Adc.energy_pj .* tuple of 7 numbers"),
    "negative adc": (lambda: Adc((-1.0, *SEVEN[1:]), SEVEN, SEVEN), "Adc.energy_pj at 4 bits is -1.0"),
    "adc with holes": (lambda: Adc((NAN, *SEVEN[1:]), SEVEN, SEVEN), "Adc.area_um2 and Adc.energy_pj"),
    "adc of nothing": (lambda: Adc((NAN,) * 7, (NAN,) * 7, (NAN,) * 7), "Adc has no converter"),
    "column without resistance": (lambda: neurosim_power_w(8, 0.0), "column_ohm is 0.0"),
    "stuck share": (lambda: StuckAt(NAN, 0.0), "StuckAt.low is nan"),
    "rows of IR drop": (lambda: ir_drop_gain(-5, 1.0, 1.0), "rows is -5"),
    "wire": (lambda: ir_drop_gain(5, math.inf, 1.0), "wire_ohm is inf"),
    # options and overrides
    "unknown option": (lambda: with_options(Hardware(), {"rows": 128}), r"\['rows'\] are no options of a chip"),
    "bool override": (lambda: with_options(Hardware(), {"dac_bits": True}), "Hardware.dac_bits is True"),
    "config of 8.5 points": (lambda: CodesignConfig(population=8.5), "CodesignConfig.population is 8.5"),
    "config of bool": (lambda: CodesignConfig(rounds=True), "CodesignConfig.rounds is True"),
    "config of NaN": (lambda: CodesignConfig(max_log_loss_increase=NAN), "max_log_loss_increase is nan"),
    # mapping
    "8.5 bits": (lambda: OperatorMapping(8.5), "OperatorMapping.weight_bits is 8.5; .* from 2 to 16"),
    "bool copies": (lambda: OperatorMapping(dup=True), "OperatorMapping.dup is True"),
    "no operator mapping": (lambda: Mapping((8,)), r"Mapping.operators\[0\] is 8"),
    "no vectors": (lambda: max_dup(0), "vectors is 0"),
    "negative inputs": (lambda: Stage("a", "a", (), 1, -3, 4), "stage 'a': inputs is -3"),
    "empty side": (lambda: Stage("a", "a", (), 1, 0, 4), "stage 'a': vectors, inputs and outputs are 1, 0, 4"),
    "matrix of nobody": (lambda: Stage("a", "", (), 1, 2, 4), "stage 'a' has a matrix but no operator"),
    "negative product": (
        lambda: Stage("a", "", (), computed=(ComputedProduct(1, -2, 1, 1, 2),)),
        "stage 'a': rows of a computed product is -2",
    ),
    "two of a name": (lambda: Workload((LOOKUP, LOOKUP), Embeddings(1, 1)), "both named 'embeddings'"),
    "no fields": (lambda: Embeddings(0, 4), "Embeddings.fields is 0"),
    "negative tables": (lambda: Embeddings.of([4], [-1]), "table rows of field 0 is -1"),
    "too few tables": (lambda: Embeddings.of([4, 4], [1]), "1 numbers of table rows for 2 fields"),
    # cost
    "no workload": (lambda: evaluate(None, Hardware()), "the workload is None"),
    "no chip": (lambda: evaluate(WORKLOAD, None), "the chip is None"),
    "no mapping": (lambda: evaluate(WORKLOAD, Hardware(), 8), "the mapping is 8"),
    "no points": (lambda: evaluate_many(WORKLOAD, [], []), "0 mappings and 0 chips"),
    "unequal points": (lambda: evaluate_many(WORKLOAD, [Mapping.uniform(WORKLOAD)], []), "1 mappings and 0 chips"),
    # functional
    "vector of weights": (lambda: crossbars([1, 2]), r"weights have the shape \[2\]; give two dimensions, \[O, I\]"),
    "NaN weights": (lambda: crossbars([[1.0, NAN]]), r"weights have nan at \[0, 1\]"),
    "float weights": (lambda: crossbars([[1.0, 0.5]]), "weights are of type float64; give integers"),
    "bool weights": (lambda: crossbars([[True]]), "weights are of type bool"),
    "8.5 weight bits": (lambda: crossbars(bits=8.5), "weight_bits is 8.5"),
    "crossbars without a chip": (lambda: crossbars(hardware="isaac32"), "the chip is 'isaac32'"),
    "NaN activations": (lambda: crossbars()([[NAN, 1, 1]], 8), r"inputs have nan at \[0, 0\]"),
    "unequal inputs": (lambda: crossbars()([[1, 1]], 8), "have 2 columns; the matrix has 3"),
    "no activation bits": (lambda: crossbars()([[1, 1, 1]], 0), "activation_bits is 0"),
    "NaN noise": (lambda: Imperfections(NAN), "Imperfections.log_normal_sigma is nan"),
    "no stuck cells": (lambda: Imperfections(stuck_at=None), "Imperfections.stuck_at is None"),
    "calibration on no rows": (lambda: calibrate(OneLayer(), *rows(0)), "has 0 dense and 0 sparse rows"),
    "calibration on NaN": (lambda: calibrate(OneLayer(), *rows(fill=NAN)), r"dense inputs have nan at \[0, 0\]"),
    "NaN inside": (lambda: calibrate(OneLayer(), *rows(fill=-1.0)), "activations before the matrix 'layer' have nan"),
    "calibration of 8.5 bits": (lambda: calibrate(OneLayer(), *rows(), (8.5,)), "activation_bits is 8.5"),
    "calibration of nothing": (lambda: calibrate(OneLayer(), *rows(), ()), "activation_bits is empty"),
    "range of nothing": (lambda: Calibration({"layer": {8: 0.0}}), "the range of 'layer' at 8 bits is 0.0"),
    "quantized to 8.5": (
        lambda: quantize(OneLayer(), BITS | {"layer": (8.5, 8)}, RANGES),
        "weight bits of 'layer' is 8.5",
    ),
    "quantized to one": (lambda: quantize(OneLayer(), BITS | {"layer": 8}, RANGES), "bits of 'layer' are 8; give"),
    "unknown operator": (lambda: quantize(OneLayer(), BITS | {"conv": (8, 8)}, RANGES), r"\['conv'\], which have no"),
    "NaN matrix": (lambda: quantize(OneLayer(NAN), BITS, RANGES), r"weights \[O, I\] of 'layer' have nan at \[0, 0\]"),
    "no range": (lambda: QuantizedLinear(nn.Linear(2, 2), 8, 8, NAN), "the activations' range is nan"),
    # the command line
    "negative seed": (lambda: Options(seed=-1), "--seed is -1"),
    "no integers": (lambda: Options(integers=0), "--integers is 0"),
    "half a field": (lambda: Options(fields=2.5), "--fields is 2.5"),
    "no width": (lambda: Options(embedding_width=True), "--embedding-width is True"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_named(call: Callable[[], Any], message: str) -> None:
    """What it is, its value, and what is allowed, in a ValueError."""
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ("3", "JSON|architecture|iterable"),
        ('{"blocks": [{"dense": ["convolution"]}]}', "block 1"),
    ],
)
def test_a_bad_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    """The command says the option, the file, and what is wrong in it; an unknown operator by its block."""
    path = tmp_path / "architecture.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"--architecture .*{path.name}.*({message})"):
        main(Options(architecture=str(path)))


def test_an_operator_that_the_space_does_not_have_is_named(tmp_path: Path) -> None:
    """An architecture's operator that no file of modules/operators/ describes cannot be mapped: its name is said."""
    from modules.space import NASREC_FULL, single_operator_any_connection

    data = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(0)).to_json()
    data["blocks"][0]["dense_operators"] = ["convolution"]
    path = tmp_path / "architecture.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match="convolution"):
        main(Options(architecture=str(path)))


@given(st.one_of(st.integers(-20, 20), st.floats(), st.booleans(), st.text(max_size=2), st.none()))
def test_checks_accept_numbers_in_range_and_nothing_else(value: Any) -> None:
    """`whole` and `number` return exactly what lies in the range; all else is a ValueError with name and value."""
    is_int = type(value) is int
    for check, good in (
        (lambda: whole("it", value, 2, 16), is_int and 2 <= value <= 16),
        (
            lambda: number("it", value, above=0, most=9),
            (is_int or (type(value) is float and math.isfinite(value))) and 0 < value <= 9,
        ),
    ):
        if good:
            assert check() == value
        else:
            with pytest.raises(ValueError, match="it is "):
                check()


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    """Integers and floats of numpy, arrays and tensors are taken as what they hold."""
    assert whole("it", numpy.int64(3), 0) == 3 and number("it", numpy.float32(0.5)) == 0.5
    assert integer_matrix("it", torch.tensor([[1, 2]]), "[O, I]").tolist() == [[1, 2]]
    finite("it", torch.tensor([1.0]))
    with pytest.raises(ValueError, match=r"it have inf at \[1\]"):
        finite("it", torch.tensor([1.0, math.inf]))
