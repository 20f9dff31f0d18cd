"""Looking up embeddings, for each place where tables may live."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pim_codesign import Hardware
from pim_codesign.cost.columns import HardwareColumns
from pim_codesign.cost.embeddings import lookup_cost
from pim_codesign.hardware import EmbeddingPlace
from pim_codesign.mapping import Embeddings


def cost(embeddings: Embeddings, place: EmbeddingPlace, **options: int) -> tuple[float, float, float]:
    """Energy pJ, time ns, area mm² on the default chip with the tables at `place`."""
    chip = Hardware(embeddings=place, **options)  # type: ignore[arg-type]
    found = lookup_cost(embeddings, HardwareColumns([chip]))
    return found.energy_pj.item(), found.time_ns.item(), found.area_mm2.item()


@given(st.integers(1, 40), st.integers(1, 64), st.integers(0, 10**6))
def test_dram_costs_its_bits_and_no_area(fields: int, width: int, rows: int) -> None:
    """1300 pJ for 64 bits of whole bursts of 64 bytes a field, one row cycle and a burst after the other, nothing on
    the chip, whatever the node."""
    bursts = fields * math.ceil(width / 64)
    for node_nm in (16, 32):
        energy, time, area = cost(Embeddings(fields, width, rows), "dram", node_nm=node_nm)
        assert energy == pytest.approx(bursts * 512 * 1300 / 64)
        assert (time, area) == (pytest.approx(45.75 + (bursts - 1) * 2.5), 0)


@given(st.integers(1, 40), st.integers(1, 64), st.integers(1, 10**6))
def test_memory_holds_every_bit_once(fields: int, width: int, rows: int) -> None:
    """ReRAM as memory: the cells of all rows over half of the area, one read of the cells that are looked up."""
    energy, time, area = cost(Embeddings(fields, width, rows), "reram_memory")
    cell_um2 = 25 / 128**2
    assert area == pytest.approx(rows * width * 4 * cell_um2 / 0.5 * 1e-6)  # 8 bits in 2-bit cells
    read = fields * width * 4 * 0.3e-3 * 100e-9 / 128**2 * 1e12
    assert energy == pytest.approx(read + fields * width * 8 * (0.054 + 0.081))
    assert time == 100


@given(st.integers(1, 40), st.integers(1, 64), st.integers(1, 10**5))
def test_crossbars_hold_the_tables_as_matrices(fields: int, width: int, rows: int) -> None:
    """In crossbars: the area of whole arrays of 128 × 128 cells with DACs, sample-and-holds and one converter each, a
    cycle and the pipeline in time, and more energy than reading the cells alone."""
    energy, time, area = cost(Embeddings(fields, width, rows), "in_crossbar")
    arrays = math.ceil(rows / 128) * math.ceil(width * 4 / 128)
    array_um2 = 25 + 128 * (170 / 1024 + 40 / 1024) + 1200
    assert area == pytest.approx(arrays * array_um2 * 1e-6)
    assert time == pytest.approx(400)
    conversions = fields * width * 4
    assert energy > conversions * (0.79 + 0.021)


@given(st.lists(st.tuples(st.sampled_from([4, 8, 16]), st.integers(1, 10**5)), min_size=1, max_size=6))
def test_tables_of_unequal_widths(tables: list[tuple[int, int]]) -> None:
    """Energy and area are the sums over the fields' own tables; the time is one lookup's, and in DRAM the bursts'."""
    whole = Embeddings.of(*zip(*tables, strict=True))
    places: tuple[EmbeddingPlace, ...] = ("dram", "reram_memory")
    for place in places:
        energy, time, area = cost(whole, place)
        apart = [cost(Embeddings(1, width, rows), place) for width, rows in tables]
        assert energy == pytest.approx(sum(one[0] for one in apart))
        queued = 2.5 * (len(tables) - 1) if place == "dram" else 0
        assert time == pytest.approx(apart[0][1] + queued) and area == pytest.approx(sum(one[2] for one in apart))


def test_more_of_anything_costs_more() -> None:
    """Energy rises with fields and width; area with rows; no area without tables."""
    places: tuple[EmbeddingPlace, ...] = ("reram_memory", "in_crossbar")
    for place in places:
        base = cost(Embeddings(26, 16, 10_000), place)
        assert cost(Embeddings(27, 16, 10_000), place)[0] > base[0]
        assert cost(Embeddings(26, 32, 10_000), place)[0] > base[0]
        assert cost(Embeddings(26, 16, 20_000), place)[2] > base[2]
        assert cost(Embeddings(26, 16, 0), place)[2] == 0
