"""The chip: its options, one field each, and the constants of the three public tools that a preset stands for."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from pim_codesign.circuits import ISAAC_ADC, MNSIM_ADC, NEUROSIM_ADC, Adc, AdcBits, NodeNm
from pim_codesign.devices import ISAAC_CELL, MNSIM_CELL, Cell
from pim_codesign.mapping.slicing import lossless_adc_bits
from pim_codesign.options import check_choices, option

PresetName = Literal["isaac32", "mnsim", "neurosim32"]
EmbeddingPlace = Literal["dram", "reram_memory", "in_crossbar"]


@dataclass(frozen=True)
class Technology:
    """The constants that differ between the public tools."""

    cell: Cell
    """ReRAM cells."""
    adc: Adc
    """Analog-to-digital converters."""

    def __post_init__(self) -> None:
        for name, kind in (("cell", Cell), ("adc", Adc)):
            if not isinstance(found := getattr(self, name), kind):
                raise ValueError(f"Technology.{name} is {found!r}; every technology has a {kind.__name__}")


TECHNOLOGIES: dict[PresetName, Technology] = {
    "isaac32": Technology(ISAAC_CELL, ISAAC_ADC),
    "mnsim": Technology(MNSIM_CELL, MNSIM_ADC),
    # NeuroSim leaves the cell to its user; with ISAAC's cell, only the converter differs from isaac32.
    "neurosim32": Technology(ISAAC_CELL, NEUROSIM_ADC),
}


@dataclass(frozen=True)
class Hardware:
    """One chip. The defaults are `isaac32`: ISAAC's own arrays and converters.

    Each field is a chip option; `options_of(Hardware)` gives their choices, units and sources by name. The order
    of the searched fields is the order of the genes. Raises ValueError for a value that is no choice, and for options
    that contradict each other.
    """

    preset: PresetName = field(
        default="isaac32",
        metadata=option(
            "The tool or paper whose cell and converter constants are taken.",
            source="ISAAC; MNSIM-2.0; NeuroSim",
        ),
    )
    node_nm: NodeNm = field(
        default=32,
        metadata=option(
            "CMOS node: area ∝ node², energy ∝ node · V²; the cells keep their read energy.",
            unit="nm",
            source="Predictive Technology Model, nominal supplies",
        ),
    )
    array_rows: Literal[64, 128, 256, 512] = field(
        default=128,
        metadata=option(
            "Rows R of an array, which has as many columns C.",
            unit="row",
            source="ISAAC has 128; REREC (ICCAD'21): the array size decides the utilization",
            searched=True,
        ),
    )
    cell_bits: Literal[1, 2, 4] = field(
        default=2,
        metadata=option("Bits stored in one cell.", unit="bit", source="ISAAC has 2, MNSIM-2.0 has 1", searched=True),
    )
    dac_bits: Literal[1, 2, 4] = field(
        default=1,
        metadata=option("Bits that an input cycle applies to a row.", unit="bit", source="ISAAC has 1", searched=True),
    )
    adc_bits: AdcBits = field(
        default=8,
        metadata=option(
            "Resolution of the converters, at most what the preset's source has. The search takes the fewest bits that "
            "convert without loss.",
            unit="bit",
            source="ISAAC has 8; Saberi et al. (TCAS-I 2011) scale it to 4 to 10",
        ),
    )
    columns_per_adc: Literal[1, 2, 4, 8, 16, 32, 64, 128, 256] = field(
        default=128,
        metadata=option(
            "Columns that share a converter, at most the array's.",
            unit="column",
            source="ISAAC has one converter per array of 128 columns; the rest is this project's grid",
            searched=True,
        ),
    )
    sign_coding: Literal["differential", "offset"] = field(
        default="offset",
        metadata=option(
            "Signed weights as the difference of two arrays, or shifted to be positive (subtracted digitally).",
            source="ISAAC (ISCA'16) has offset coding; MNSIM-2.0 has differential pairs",
            searched=True,
        ),
    )
    flip_encoding: bool = field(
        default=True,
        metadata=option(
            "With offset coding, a column whose cells sum to more than half is stored complemented, which saves the "
            "converter a bit. A differential pair has nothing to flip.",
            source="ISAAC (ISCA'16)",
        ),
    )
    digital_lanes: Literal[64, 256, 1024] = field(
        default=256,
        metadata=option(
            "Multiply-accumulate lanes of the digital logic; a vector ALU and a look-up table go with every 16.",
            unit="lane",
            source="this project's grid; the lanes are Horowitz's (ISSCC'14) multipliers and adders",
            searched=True,
        ),
    )
    interaction_engine: Literal["digital", "scratch_crossbar"] = field(
        default="digital",
        metadata=option(
            "Where products of two computed operands are made: on MAC lanes, or on a crossbar written for each sample.",
            source="ReTransformer (ICCAD'20) and HyFlexPIM avoid writing intermediate results into ReRAM",
            searched=True,
        ),
    )
    adc_per_operator: bool = field(
        default=False,
        metadata=option(
            "Stop a SAR converter after the bits that a matrix's own rows need (fewer than R rows make smaller sums).",
            source="a SAR converter resolves one bit per cycle (NeuroSim, SarADC.cpp)",
            searched=True,
        ),
    )
    embeddings: EmbeddingPlace = field(
        default="dram",
        metadata=option(
            "Where the embedding tables live; their area is reported apart.",
            source="DRAM: Horowitz (ISSCC'14); memory: NVSim (TCAD'12); in crossbars: REREC (ICCAD'21)",
        ),
    )

    def __post_init__(self) -> None:
        check_choices(self)
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

    def to_json(self) -> dict[str, Any]:
        """The options as plain JSON values."""
        return dataclasses.asdict(self)


PRESETS: dict[PresetName, Hardware] = {
    "isaac32": Hardware(),
    # MNSIM's fast cells want short cycles: few columns per converter.
    "mnsim": Hardware(preset="mnsim", cell_bits=1, columns_per_adc=8, sign_coding="differential", flip_encoding=False),
    # A conversion takes 9 ns, so 8 columns per converter fit into the 100 ns read.
    "neurosim32": Hardware(preset="neurosim32", columns_per_adc=8),
}
"""A chip with each source's constants; every one converts without loss."""
