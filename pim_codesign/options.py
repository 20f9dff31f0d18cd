"""Chip options as dataclass fields: each carries its choices, meaning, unit, source, and whether the search varies it.

The check of a chip, the genes of the search, the columns of the cost model, the JSON and the command lines are all made
from these fields, so a new option is one field and the equation that reads it.
"""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

import tyro

Choice = int | str | bool


@dataclass(frozen=True)
class Option:
    """What one field of a chip's dataclass says."""

    name: str
    """The field's name."""
    type: Any
    """The field's type: a `Literal` of the choices, or bool."""
    default: Choice
    """The field's default."""
    meaning: str
    """What the option is, as the command line's help says it."""
    unit: str
    """Unit of the choices; "" where they are words."""
    source: str
    """Where the choices come from."""
    searched: bool
    """Whether the co-design search varies the option."""

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The values the option may have, in the order in which neighbours are similar designs."""
        return (False, True) if self.type is bool else get_args(self.type)

    @property
    def help(self) -> str:
        """Meaning, unit and source in one line."""
        return f"{self.meaning} {f'Unit: {self.unit}. ' if self.unit else ''}Source: {self.source}."


def option(meaning: str, *, source: str, unit: str = "", searched: bool = False) -> dict[str, Any]:
    """Metadata of a field of a chip's dataclass; the field's type states the choices."""
    return {"meaning": meaning, "unit": unit, "source": source, "searched": searched}


_KNOWN: dict[type, dict[str, Option]] = {}
"""What `options_of` has read."""


def options_of(chip: type) -> dict[str, Option]:
    """The options of a chip's dataclass by name, in the order of its fields.

    Raises TypeError for a field without the metadata of `option`, and for one whose type has no finite set of choices.

    >>> from pim_codesign.hardware import Hardware
    >>> options_of(Hardware)["cell_bits"].choices, options_of(Hardware)["cell_bits"].unit
    ((1, 2, 4), 'bit')
    """
    if chip not in _KNOWN:
        _KNOWN[chip] = {field.name: _read(chip.__name__, field) for field in dataclasses.fields(chip)}
    return _KNOWN[chip]


def _read(chip: str, field: "dataclasses.Field[Any]") -> Option:
    if "meaning" not in field.metadata or not (field.type is bool or get_origin(field.type) is Literal):
        raise TypeError(
            f"{chip}.{field.name}: a chip option is declared as "
            "`name: Literal[...] = field(default=..., metadata=option(...))`, or with bool for its type"
        )
    default: Any = field.default
    found = Option(field.name, field.type, default, **field.metadata)
    if default not in found.choices:
        raise TypeError(f"{chip}.{field.name}: the default {default!r} is none of its choices {list(found.choices)}")
    return found


def check_choices(chip: Any) -> None:
    """Raise ValueError for an option whose value is none of its choices."""
    for name in options_of(type(chip)):
        check_choice(type(chip), name, getattr(chip, name))


def check_choice(chip: type, name: str, value: Any) -> None:
    """Raise ValueError for a value that is no choice of the option `name` of a chip's dataclass.

    True equals 1 and 64.0 equals 64, but neither is that choice: the columns and the JSON would differ.
    """
    one = options_of(chip)[name]
    if not any(type(choice) is _plain(value) and choice == value for choice in one.choices):
        unit = f" ({one.unit})" if one.unit else ""
        raise ValueError(f"{chip.__name__}.{name} is {value!r}; choose one of {list(one.choices)}{unit}")


def _plain(value: Any) -> type:
    return str if isinstance(value, str) else type(value)


def overrides_of(chip: type) -> type:
    """A frozen dataclass with a field for each option of a chip, None by default: what a command line sets.

    >>> from pim_codesign.hardware import Hardware
    >>> tyro.cli(overrides_of(Hardware), args=["--node-nm", "22"]).node_nm
    22
    """
    fields = [
        (one.name, Annotated[one.type | None, tyro.conf.arg(help=one.help)], dataclasses.field(default=None))
        for one in options_of(chip).values()
    ]
    return dataclasses.make_dataclass(f"{chip.__name__}Overrides", fields, frozen=True)
