"""DAC, sample-and-hold, shift-add, buffers, networks, DRAM and digital logic at 32 nm, each with its source."""

DAC_POWER_UW = 3.9
"""Power of a 1-bit DAC, µW: ISAAC table 6 (4 mW for 8 × 128) and PUMA; ×2 for each further bit, up to 4 bits. It is
0.39 pJ in 100 ns."""
DAC_AREA_UM2 = 0.00017 * 1e6 / (8 * 128)
"""Area of a 1-bit DAC, µm² (0.166): ISAAC table 6; ×2 for each further bit, up to 4 bits."""
SAMPLE_HOLD_POWER_UW = 10.0 / 1024
"""Power of the sample-and-hold of one column, µW: ISAAC table 6, 10 µW for 8 × 128."""
SAMPLE_HOLD_AREA_UM2 = 0.00004 * 1e6 / 1024
"""Area of the sample-and-hold of one column, µm²: ISAAC table 6."""
SHIFT_ADD_ENERGY_PJ = 0.021
"""Energy of one shift-and-add, pJ: hwcomponents-library (ISAAC's 0.05 mW unit)."""
SHIFT_ADD_AREA_UM2 = 60.0
"""Area of a shift-and-add unit, µm²: ISAAC table 6."""
ADCS_PER_SHIFT_ADD = 2
"""Converters that share a shift-and-add unit: ISAAC table 6, 4 units for the 8 ADCs of an IMA."""
EDRAM_PJ_PER_BIT = 20.45 / 256
"""ISAAC's 64 KB eDRAM (CACTI 6.5), pJ: 20.45 pJ per 256-bit access."""
BUS_PJ_PER_BIT = 0.054
"""ISAAC's bus from the eDRAM to the arrays, pJ."""
BUS_BITS_PER_NS = 384 * 1.0
"""A tile's bus: ISAAC table 6, 384 wires, at the 1 GHz of the digital logic."""
INPUT_REGISTER_PJ_PER_BIT = 1.24 * 100 / (8 * 128)
"""Reading a bit for a row from an IMA's input register, pJ (0.121): ISAAC table 6, 1.24 mW for the 8 × 128 rows that
are driven with 1 bit in 100 ns."""
OUTPUT_REGISTER_PJ = (0.23 + 1.68 / 12) * 100 / (8 * 128)
"""Output registers, pJ for each conversion (0.036): ISAAC table 6, 0.23 mW of an IMA and its twelfth of the tile's
1.68 mW for 8 × 128 conversions in 100 ns."""
ROUTER_PJ_PER_BIT = 0.081
"""ISAAC's router (Orion 2.0), pJ: 42 mW, shared by 4 tiles."""
VECTOR_ALU_POWER_MW = 2.4 * 32 / 45
"""PUMA's vector unit, mW per lane at 1 GHz, scaled from 45 to 32 nm."""
VECTOR_ALU_AREA_MM2 = 0.00567 * 32 / 45
"""PUMA's vector unit, mm² per lane, scaled to 32 nm as its source does."""
SIGMOID_LUT_POWER_MW = 0.26
"""Power of a look-up table for a sigmoid or an exponential, mW at 1 GHz: ISAAC table 6 (0.52 mW for 2), PUMA."""
SIGMOID_LUT_AREA_MM2 = 0.0003
"""Area of a look-up table, mm²: ISAAC table 6 (0.0006 for 2), PUMA."""
DIGITAL_CLOCK_GHZ = 1.0
"""Clock of the digital logic, GHz: PUMA's."""
MAC_ENERGY_PJ = (0.2 + 0.03) * 32 / 45
"""Energy of an 8-bit multiply (0.2 pJ) and add (0.03 pJ) at 45 nm and 0.9 V (Horowitz, ISSCC'14), scaled to 32 nm and
the same 0.9 V."""
MAC_AREA_MM2 = (282 + 36) * 1e-6 * (32 / 45) ** 2
"""Area of an 8-bit multiplier (282 µm²) and adder (36 µm²) at 45 nm, scaled to 32 nm: Horowitz's table as printed by
Dally (NIPS'15 tutorial)."""
MAC_LANES_PER_VECTOR_ALU = 16
"""This project's own proportion: one vector ALU and one look-up table for every 16 MAC lanes."""
DRAM_PJ_PER_BIT = 1300 / 64
"""A DRAM access, pJ: 1.3 to 2.6 nJ for 64 bits (Horowitz, ISSCC'14), the lower end. It is off the chip, so the node
does not scale it."""
DRAM_ACCESS_NS = 45.75
"""Row cycle time of DDR4-3200, ns (JEDEC JESD79-4). The rows of the fields are in different banks: they open at
once."""
DRAM_BURST_BITS = 512
"""Bits of the shortest read of a 64-bit channel: 8 transfers, 64 bytes (JEDEC JESD79-4, burst length 8)."""
DRAM_BURST_NS = 8 / 3.2
"""Time of a burst on the channel, ns: 8 transfers at 3.2 GT/s (JEDEC JESD79-4, DDR4-3200). Bursts follow each other."""
LEAKAGE_FRACTION = 0.01
"""Share of the published power of buffers, networks, registers and digital logic that flows when nothing switches. Not
published by ISAAC or PUMA: this project's assumption for low-standby-power transistors (fast ones: up to 0.2)."""
