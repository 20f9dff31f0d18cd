"""Chip options: an option that is added in this file alone reaches everything that is made from the fields."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy
import pytest
import tyro

from modules.space import NASREC_SMALL, InputShape, single_operator_any_connection
from pim_codesign import Hardware, Mapping, evaluate, with_options, workload_of_subnet
from pim_codesign.cost.columns import HardwareColumns
from pim_codesign.options import Option, check_choices, option, options_of, overrides_of
from pim_codesign.search.genome import Genome


@dataclass(frozen=True)
class CooledHardware(Hardware):
    """The project's chip with one more searched option."""

    cooling: Literal["air", "water", "helium"] = field(
        default="air", metadata=option("What cools the chip.", source="this test", searched=True)
    )


WORKLOAD = workload_of_subnet(
    single_operator_any_connection(NASREC_SMALL, numpy.random.default_rng(0)), InputShape(13, 26, 16)
)


def test_a_new_option_is_one_field() -> None:
    """It is checked, in the columns, in the JSON, on the command line, followed by `with_options`, and searched."""
    with pytest.raises(ValueError, match=r"cooling is 'ice'; choose one of \['air', 'water', 'helium'\]"):
        CooledHardware(cooling="ice")  # type: ignore[arg-type]
    chips = [CooledHardware(cooling=cooling) for cooling in ("air", "helium")]  # type: ignore[arg-type]
    assert HardwareColumns(chips).cooling.tolist() == [["air"], ["helium"]]
    assert HardwareColumns(chips).by_choice("cooling", {"air": 1.5, "water": 2.0, "helium": 4.0}).tolist() == [
        [1.5],
        [4],
    ]
    assert json.loads(json.dumps(chips[1].to_json()))["cooling"] == "helium"
    assert tyro.cli(overrides_of(CooledHardware), args=["--cooling", "water"]).cooling == "water"
    assert with_options(chips[1], {"array_rows": 64}).cooling == "helium"  # type: ignore[attr-defined]
    genome = Genome(WORKLOAD, CooledHardware())
    found = genome.chips(genome.random(60, numpy.random.default_rng(0)))
    assert {chip.cooling for chip in found} == {"air", "water", "helium"}  # type: ignore[attr-defined]
    assert genome.decode(genome.naive()) == (Mapping.uniform(WORKLOAD), CooledHardware())
    assert evaluate(WORKLOAD, chips[0]) == evaluate(WORKLOAD, Hardware())


@pytest.mark.parametrize("one", options_of(Hardware).values(), ids=lambda one: one.name)
def test_every_option_reaches_columns_json_and_command_line(one: Option) -> None:
    """Each choice of each option, with whatever must follow it, is in the column, the JSON and the parsed options."""
    for choice in one.choices:
        rows = {"array_rows": 256} if one.name == "columns_per_adc" else {}  # so that 256 columns fit
        chip = with_options(Hardware(), {"adc_bits": 8, **rows, one.name: choice})  # 8: sums may be clipped
        column = getattr(HardwareColumns([chip, chip, Hardware()]), one.name)
        assert column.tolist() == [[choice], [choice], [getattr(Hardware(), one.name)]]
        assert Hardware(**json.loads(json.dumps(chip.to_json()))) == chip
        parsed: Any = tyro.cli(overrides_of(Hardware), args=[f"--{one.name.replace('_', '-')}", str(choice)])
        given = {name: value for name, value in dataclasses.asdict(parsed).items() if value is not None}
        assert given == {one.name: choice}


def test_every_option_says_what_it_is() -> None:
    """Each has at least two choices, its default among them, a meaning and a source; numbers have a unit."""
    for one in options_of(Hardware).values():
        assert len(set(one.choices)) == len(one.choices) >= 2
        assert one.default in one.choices
        assert one.meaning.endswith(".") and one.source and one.source in one.help
        assert bool(one.unit) == (type(one.default) is int)


def test_the_document_lists_every_option() -> None:
    """docs/reram.md has a row with each option's choices, unit, source and whether it is searched."""
    text = (Path(__file__).parents[2] / "docs" / "reram.md").read_text()
    for one in options_of(Hardware).values():
        choices, searched = ", ".join(map(str, one.choices)), "yes" if one.searched else "no"
        assert f"| `{one.name}` | {choices} | {one.unit or '–'} | {searched} | {one.source} |" in text


def test_a_field_that_is_no_option_is_refused() -> None:
    """A field without metadata, without a finite set of choices, or with a default outside it is an error at once."""

    @dataclass
    class Bare:
        rows: Literal[1, 2] = 1

    @dataclass
    class Endless:
        rows: int = field(default=1, metadata=option("Rows.", source="this test"))

    @dataclass
    class Outside:
        rows: Literal[1, 2] = field(default=3, metadata=option("Rows.", source="this test"))  # type: ignore[arg-type]

    broken: list[Any] = [Bare, Endless, Outside]
    for chip in broken:
        with pytest.raises(TypeError, match=rf"{chip.__name__}\.rows"):
            check_choices(chip())
