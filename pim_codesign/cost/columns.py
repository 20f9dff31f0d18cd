"""Mappings and chips as numpy columns, so that a whole population is costed at once.

P points, T stages, n operators.
"""

from collections.abc import Mapping as Lookup
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy
from numpy.typing import NDArray

from pim_codesign.circuits import ADC_BITS, NODES_NM, area_scale, energy_scale
from pim_codesign.circuits.periphery import DAC_AREA_UM2, DAC_POWER_UW
from pim_codesign.hardware import TECHNOLOGIES, Hardware
from pim_codesign.mapping.mapping import Mapping
from pim_codesign.mapping.workload import Workload
from pim_codesign.options import options_of

Floats = NDArray[numpy.float64]
Integers = NDArray[numpy.int64]
Booleans = NDArray[numpy.bool_]

# Constants by preset, in the order of TECHNOLOGIES; the converters' are [presets, ADC_BITS].
_PRESETS = {name: index for index, name in enumerate(TECHNOLOGIES)}
_CELLS = [technology.cell for technology in TECHNOLOGIES.values()]
_ADCS = [technology.adc for technology in TECHNOLOGIES.values()]
_READ_NS = numpy.array([cell.read_time_ns for cell in _CELLS])
_ENDURANCE_WRITES = numpy.array([cell.endurance_writes for cell in _CELLS])
_CELL_PJ = numpy.array([cell.read_energy_fj * cell.activity * 1e-3 for cell in _CELLS])
_ADC_ENERGY_PJ = numpy.array([adc.energy_pj for adc in _ADCS])
_ADC_AREA_UM2 = numpy.array([adc.area_um2 for adc in _ADCS])
_ADC_RATE_GS = numpy.array([adc.rate_gs for adc in _ADCS])
_AREA_SCALES = {node: area_scale(node) for node in NODES_NM}
_ENERGY_SCALES = {node: energy_scale(node) for node in NODES_NM}


@dataclass(frozen=True)
class MappingColumns:
    """Bits and replication of every stage, whole numbers held as float64.

    The points of a stage lie beside each other in memory (Fortran's order), and so does all that is computed from
    them: a step over P points then runs along memory, whichever of its operands are one number a point or a stage.
    """

    weight_bits: Floats
    """[P, T]"""
    activation_bits: Floats
    """[P, T]"""
    dup: Floats
    """Copies of the stage's matrix, already limited to the largest power of two in V. [P, T]"""

    @classmethod
    def of(cls, workload: Workload, mappings: Sequence[Mapping]) -> "MappingColumns":
        """Spread each mapping's operators over their stages. Raises ValueError for another number of operators."""
        for mapping in mappings:
            if not isinstance(mapping, Mapping):
                raise ValueError(f"the mapping is {mapping!r}; give a Mapping, as Mapping.uniform(workload) makes")
            if len(mapping.operators) != len(workload.operators):
                raise ValueError(
                    f"the mapping has {len(mapping.operators)} operators, the workload {len(workload.operators)}"
                )
        numbers = numpy.array(
            [[(o.weight_bits, o.activation_bits, o.dup) for o in mapping.operators] for mapping in mappings],
            dtype=numpy.int64,
        ).reshape(len(mappings), len(workload.operators), 3)
        return cls.of_arrays(workload, numbers[..., 0], numbers[..., 1], numbers[..., 2])

    @classmethod
    def of_arrays(cls, workload: Workload, weight: Integers, activation: Integers, dup: Integers) -> "MappingColumns":
        """The same from arrays [P, n]."""
        columns = workload.columns
        spread = [_of_stages(numbers, columns.operator, 8) for numbers in (weight, activation)]
        copies = numpy.minimum(_of_stages(dup, columns.operator, 1), columns.max_dup)
        return cls(spread[0], spread[1], copies)


def _of_stages(numbers: Integers, operator: Integers, without: int) -> Floats:
    """Numbers of n operators at the stages of each, `without` at those that have none. [P, n] -> [P, T]"""
    rows = numpy.empty((numbers.shape[1] + 1, len(numbers)))
    rows[:-1], rows[-1] = numbers.T, without
    return rows[operator].T


class HardwareColumns:
    """One chip per point: each option of the chip as a column [P, 1] under the option's own name, and what follows.

    Energies and areas of parts are at 32 nm, before the node's scale.
    """

    def __init__(self, hardwares: Sequence[Hardware], chip_of_point: Integers | None = None) -> None:
        """Gather the options of chips of one type: one a point, or chip `chip_of_point[p]` of point p. [P]"""
        if chip_of_point is None:
            place: dict[int, int] = {}
            chip_of_point = numpy.array([place.setdefault(id(chip), len(place)) for chip in hardwares])
            hardwares = list({id(chip): chip for chip in hardwares}.values())
        names = tuple(options_of(type(hardwares[0])))
        self._chip_of_point = chip_of_point
        self._choices = dict(zip(names, zip(*map(attrgetter(*names), hardwares), strict=True), strict=True))

    def extended(self, hardwares: Sequence[Hardware]) -> "HardwareColumns":
        """These chips, then others; what is known of these is not computed again."""
        other = HardwareColumns(hardwares)
        joined = HardwareColumns.__new__(HardwareColumns)
        joined._choices = {name: (*own, *other._choices[name]) for name, own in self._choices.items()}
        joined._chip_of_point = numpy.concatenate(
            [self._chip_of_point, other._chip_of_point + len(next(iter(self._choices.values())))]
        )
        for name in self._names():
            vars(joined)[name] = numpy.concatenate([getattr(self, name), getattr(other, name)])
        return joined

    def take(self, points: Integers) -> "HardwareColumns":
        """The chips of some points, in any order and number: all columns are taken, none is computed. [P]"""
        taken = HardwareColumns.__new__(HardwareColumns)
        taken._choices, taken._chip_of_point = self._choices, self._chip_of_point[points]
        for name in self._names():
            vars(taken)[name] = getattr(self, name)[points]
        return taken

    def _names(self) -> list[str]:
        """All columns: the options, and what follows from them."""
        follow = [name for name, one in vars(HardwareColumns).items() if isinstance(one, cached_property)]
        return [*self._choices, *(name for name in follow if not name.startswith("_"))]

    def __getattr__(self, name: str) -> NDArray[Any]:
        """The column of the option `name`, made when it is first read. [P, 1]"""
        if name.startswith("_") or name not in self._choices:
            raise AttributeError(f"{name} is neither a chip option nor a column that follows from the options")
        column = vars(self)[name] = numpy.array(self._choices[name])[self._chip_of_point][:, None]
        return column

    def by_choice(self, name: str, numbers: Lookup[Any, float]) -> NDArray[Any]:
        """The number that belongs to each point's choice of the option `name`. [P, 1]"""
        return numpy.array([numbers[choice] for choice in self._choices[name]])[self._chip_of_point][:, None]

    @cached_property
    def _preset_index(self) -> Integers:
        return self.by_choice("preset", _PRESETS)

    @cached_property
    def polarities(self) -> Integers:
        """π: arrays per matrix, 2 with differential coding and 1 with offset coding. [P, 1]"""
        return self.by_choice("sign_coding", {"differential": 2, "offset": 1})

    @cached_property
    def scratch(self) -> Booleans:
        """Whether products of computed operands are made on scratch crossbars. [P, 1]"""
        return self.by_choice("interaction_engine", {"digital": False, "scratch_crossbar": True})

    @cached_property
    def read_ns(self) -> Floats:
        """Length of an input cycle that the cell allows, ns. [P, 1]"""
        return _READ_NS[self._preset_index]

    @cached_property
    def cell_pj(self) -> Floats:
        """ρ · e_cell: energy per cell and input cycle, pJ. [P, 1]"""
        return _CELL_PJ[self._preset_index]

    @cached_property
    def endurance_writes(self) -> Floats:
        """Writes that a cell survives. [P, 1]"""
        return _ENDURANCE_WRITES[self._preset_index]

    @cached_property
    def unit_columns(self) -> Integers:
        """u: columns of an array that hold ones, 1 with offset coding, whose shift the sum of the inputs undoes. [P, 1]

        ISAAC (ISCA'16, section 5) has one beside the columns of each array.
        """
        return 2 - self.polarities

    @cached_property
    def adc_rate_gs(self) -> Floats:
        """Conversions per nanosecond of one converter. [P, 1]"""
        return _ADC_RATE_GS[self._preset_index, self.adc_bits - ADC_BITS[0]]

    @cached_property
    def adc_area_um2(self) -> Floats:
        """Area per converter, µm². [P, 1]"""
        return _ADC_AREA_UM2[self._preset_index, self.adc_bits - ADC_BITS[0]]

    @cached_property
    def adc_energy_pj(self) -> Floats:
        """Energy per conversion to all of the converter's bits, pJ. [P, 1]"""
        return _ADC_ENERGY_PJ[self._preset_index, self.adc_bits - ADC_BITS[0]]

    @cached_property
    def dac_pj(self) -> Floats:
        """Energy of driving a row for a cycle, pJ; it doubles with each further bit. [P, 1]"""
        return 2 ** (self.dac_bits - 1) * DAC_POWER_UW * self.read_ns * 1e-3

    @cached_property
    def dac_um2(self) -> Floats:
        """Area of a row's converter, µm²; it doubles with each further bit. [P, 1]"""
        return 2 ** (self.dac_bits - 1) * DAC_AREA_UM2

    @cached_property
    def area_scale(self) -> Floats:
        """Area at the chip's node over area at 32 nm. [P, 1]"""
        return self.by_choice("node_nm", _AREA_SCALES)

    @cached_property
    def energy_scale(self) -> Floats:
        """Energy of CMOS at the chip's node over that at 32 nm. [P, 1]"""
        return self.by_choice("node_nm", _ENERGY_SCALES)
