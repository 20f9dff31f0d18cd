"""The chip: its options, and the three public tools' constants that a preset stands for."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from pim_codesign.circuits import ADC_BITS, ISAAC_ADC, MNSIM_ADC, NEUROSIM_ADC, NODES_NM, Adc
from pim_codesign.devices import ISAAC_CELL, MNSIM_CELL, Cell
from pim_codesign.mapping.slicing import lossless_adc_bits

PresetName = Literal["isaac32", "mnsim", "neurosim32"]

ARRAY_ROWS = (64, 128, 256, 512)
CELL_BITS = (1, 2, 4)
DAC_BITS = (1, 2, 4)
COLUMNS_PER_ADC = (8, 16, 32, 64, 128)
DIGITAL_LANES = (64, 256, 1024)
SIGN_CODINGS = ("differential", "offset")
INTERACTION_ENGINES = ("digital", "scratch_crossbar")
EMBEDDINGS = ("dram", "reram_memory", "in_crossbar")


@dataclass(frozen=True)
class Technology:
    """The constants that differ between the public tools."""

    cell: Cell
    adc: Adc


TECHNOLOGIES: dict[str, Technology] = {
    "isaac32": Technology(ISAAC_CELL, ISAAC_ADC),
    "mnsim": Technology(MNSIM_CELL, MNSIM_ADC),
    # NeuroSim's cell is a free parameter of it; with ISAAC's, only the converter differs from isaac32.
    "neurosim32": Technology(ISAAC_CELL, NEUROSIM_ADC),
}


@dataclass(frozen=True)
class Hardware:
    """One chip. The defaults are `isaac32`: ISAAC's own arrays and converters."""

    preset: PresetName = "isaac32"
    """Whose cell and converter constants are taken."""
    node_nm: int = 32
    """CMOS node, nm: 16, 22, 32, 45 or 65. Area ∝ node², energy ∝ node · V²; cells keep their read energy."""
    array_rows: int = 128
    """Rows R of an array, and columns C: 64, 128, 256 or 512."""
    cell_bits: int = 2
    """Bits a cell holds: 1, 2 or 4."""
    dac_bits: int = 1
    """Bits an input cycle shows to a row: 1, 2 or 4."""
    adc_bits: int = 8
    """Resolution of the converters: 4 to 10, and not more than the preset's source has."""
    columns_per_adc: int = 128
    """Columns that share a converter: 8 to 128, not more than the array has."""
    sign_coding: Literal["differential", "offset"] = "offset"
    """Signed weights as the difference of two arrays, or shifted to be positive (the shift is subtracted digitally)."""
    flip_encoding: bool = True
    """ISAAC's, for offset coding: a column whose cells sum to more than half is stored complemented, which saves the
    converter a bit. A differential pair has nothing to flip."""
    adc_per_operator: bool = False
    """A SAR converter stops after the bits that a matrix's own rows need (fewer than R rows make smaller sums)."""
    interaction_engine: Literal["digital", "scratch_crossbar"] = "digital"
    """Where products of two computed operands are made: MAC lanes, or a crossbar that is written for each sample."""
    digital_lanes: int = 256
    """MAC lanes of the digital logic: 64, 256 or 1024; a vector ALU and a look-up table go with every 16."""
    embeddings: Literal["dram", "reram_memory", "in_crossbar"] = "dram"
    """Where embedding tables live."""

    def __post_init__(self) -> None:
        allowed = {
            "preset": tuple(TECHNOLOGIES),
            "node_nm": NODES_NM,
            "array_rows": ARRAY_ROWS,
            "cell_bits": CELL_BITS,
            "dac_bits": DAC_BITS,
            "adc_bits": ADC_BITS,
            "columns_per_adc": COLUMNS_PER_ADC,
            "sign_coding": SIGN_CODINGS,
            "interaction_engine": INTERACTION_ENGINES,
            "digital_lanes": DIGITAL_LANES,
            "embeddings": EMBEDDINGS,
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"Hardware.{name} is {getattr(self, name)!r}; choose one of {list(values)}")
        if self.columns_per_adc > self.array_rows:
            raise ValueError(
                f"Hardware.columns_per_adc is {self.columns_per_adc}; an array has {self.array_rows} columns"
            )
        if self.flip_encoding and self.sign_coding == "differential":
            raise ValueError("Hardware.flip_encoding is True; it goes with sign_coding 'offset' only")
        if self.adc_bits > self.technology.adc.max_bits:
            raise ValueError(
                f"Hardware.adc_bits is {self.adc_bits}; the source of {self.preset} has converters up to "
                f"{self.technology.adc.max_bits} bits"
            )

    @property
    def technology(self) -> Technology:
        """The preset's constants."""
        return TECHNOLOGIES[self.preset]

    @property
    def lossless_adc_bits(self) -> int:
        """Bits with which no column sum is clipped or rounded; may be more than any converter has.

        >>> Hardware().lossless_adc_bits, Hardware(flip_encoding=False).lossless_adc_bits
        (8, 9)
        """
        return int(lossless_adc_bits(self.array_rows, self.cell_bits, self.dac_bits, self.flip_encoding))

    def to_json(self) -> dict[str, str | int | bool]:
        """The options as plain JSON values."""
        return dataclasses.asdict(self)


PRESETS: dict[str, Hardware] = {
    "isaac32": Hardware(),
    # MNSIM's fast cells want short cycles: few columns a converter.
    "mnsim": Hardware(preset="mnsim", cell_bits=1, columns_per_adc=8, sign_coding="differential", flip_encoding=False),
    # 9 ns a conversion: 8 columns a converter fit into the 100 ns read.
    "neurosim32": Hardware(preset="neurosim32", columns_per_adc=8),
}
"""A chip with each source's constants; every one converts without loss."""
