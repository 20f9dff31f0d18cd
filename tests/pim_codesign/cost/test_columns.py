"""Columns of a population against each point by itself."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pim_codesign import Hardware, Mapping, OperatorMapping, Workload
from pim_codesign.circuits import ADC_BITS, area_scale, energy_scale
from pim_codesign.cost.columns import HardwareColumns, MappingColumns
from pim_codesign.mapping import Embeddings, Stage
from pim_codesign.options import options_of


@st.composite
def chips(draw: st.DrawFn) -> Hardware:
    """Any chip."""
    options: dict[str, Any] = {name: draw(st.sampled_from(one.choices)) for name, one in options_of(Hardware).items()}
    try:
        return Hardware(**options)
    except ValueError:
        assume(False)
        raise


@given(st.lists(chips(), min_size=1, max_size=5))
@pytest.mark.slow
def test_each_chip_has_its_own_constants(population: list[Hardware]) -> None:
    """Row p of every column is what chip p's own options and technology give, whichever chips stand beside it."""
    columns = HardwareColumns(population)
    for point, chip in enumerate(population):
        cell, adc, bit = chip.technology.cell, chip.technology.adc, ADC_BITS.index(chip.adc_bits)
        expected = {name: getattr(chip, name) for name in options_of(Hardware)} | {
            "polarities": {"differential": 2, "offset": 1}[chip.sign_coding],
            "scratch": chip.interaction_engine == "scratch_crossbar",
            "read_ns": cell.read_time_ns,
            "cell_pj": cell.read_energy_fj * cell.activity / 1e3,
            "adc_rate_gs": adc.rate_gs[bit],
            "adc_area_um2": adc.area_um2[bit],
            "adc_energy_pj": adc.energy_pj[bit],
            "endurance_writes": cell.endurance_writes,
            "unit_columns": int(chip.sign_coding == "offset"),
            "dac_pj": 3.9e-6 * cell.read_time_ns * 1e-9 * 1e12 * 2 ** (chip.dac_bits - 1),  # W · s in pJ
            "dac_um2": 170 / 1024 * 2 ** (chip.dac_bits - 1),
            "area_scale": area_scale(chip.node_nm),
            "energy_scale": energy_scale(chip.node_nm),
        }
        for name, value in expected.items():
            column = getattr(columns, name)
            assert column.shape == (len(population), 1)
            found = column[point, 0].item()
            assert found == (value if isinstance(value, (str, bool)) else pytest.approx(value)), name


def test_a_name_that_is_no_option_is_an_error() -> None:
    """A misspelt column does not pass silently."""
    with pytest.raises(AttributeError, match="array_row"):
        HardwareColumns([Hardware()]).array_row  # noqa: B018


def test_bits_and_copies_are_spread_over_stages() -> None:
    """A stage has its operator's bits and, up to its own V, copies; one without an operator has 8 bits and one copy."""
    stages = (
        Stage("embeddings", "", ()),
        Stage("a.0", "a", (), vectors=1, inputs=4, outputs=4),
        Stage("b", "b", (), vectors=10, inputs=4, outputs=4),
        Stage("a.1", "a", (), vectors=64, inputs=4, outputs=4),
    )
    workload = Workload(stages, Embeddings(1, 1))
    mappings = [Mapping((OperatorMapping(4, 6, 32), OperatorMapping(6, 8, 16))), Mapping.uniform(workload)]
    columns = MappingColumns.of(workload, mappings)
    assert columns.weight_bits.tolist() == [[8, 4, 6, 4], [8, 8, 8, 8]]
    assert columns.activation_bits.tolist() == [[8, 6, 8, 6], [8, 8, 8, 8]]
    assert columns.dup.tolist() == [[1, 1, 8, 32], [1, 1, 1, 1]]
