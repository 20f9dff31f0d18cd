"""The terminal's drawing, read back from its table."""

import re

import numpy
from hypothesis import given
from hypothesis import strategies as st

from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    OPEN,
    Architecture,
    InputShape,
    any_path,
    full_path,
    live,
    single_operator_any_connection,
)
from modules.space.handmade import handmade
from pipeline.report import draw_text
from pipeline.report.drawing.wiring import edges, operator_titles

architectures = st.builds(
    lambda space, sampler, seed: sampler(space, numpy.random.default_rng(seed)),
    st.sampled_from([NASREC_SMALL, NASREC_FULL, OPEN]),
    st.sampled_from([single_operator_any_connection, any_path, full_path]),
    st.integers(0, 2**32 - 1),
)


def rows(text: str) -> dict[str, list[str]]:
    """The cells of each table row by its name, continued lines joined; the three parts of an operator's cell apart."""
    found: dict[str, list[str]] = {}
    cells: list[str] = []
    for line in text.splitlines():
        if not line.startswith("│"):
            continue
        number, dense, sparse, mergers = line.strip("│").split("│")
        parts = [dense[1:14], dense[16:21], dense[23:], sparse[1:15], sparse[17:22], sparse[24:], mergers]
        if number.strip():
            cells = found.setdefault(number.strip(), [""] * len(parts))
        for place, part in enumerate(parts):
            cells[place] = f"{cells[place]} {part.strip()}".strip()
    return found


@given(architectures)
def test_fits_a_terminal(architecture: Architecture) -> None:
    """Every line is equally long and at most 100 columns."""
    assert {len(line) for line in draw_text(architecture, InputShape(13, 26, 16)).splitlines()} == {100}


@given(architectures)
def test_lists_what_each_operator_reads(architecture: Architecture) -> None:
    """Operators, widths, inputs and live mergers of each block are exactly the architecture's."""
    table = rows(draw_text(architecture))
    for number, (block, alive) in enumerate(zip(architecture.blocks, live(architecture), strict=True), start=1):
        dense, dense_width, dense_reads, sparse, sparse_width, sparse_reads, mergers = table[str(number)]
        for found, operators, living in (
            (dense, block.dense_operators, alive.dense),
            (sparse, block.sparse_operators, alive.sparse),
        ):
            titles = " + ".join(operator_titles(operators))
            assert found == (titles if living else f"[{titles}]")
        assert (int(dense_width), int(sparse_width)) == (block.dense_width, block.sparse_width)
        into = [edge for edge in edges(architecture) if edge.role != "merger"]
        for reads, target in ((dense_reads, f"d{number}"), (sparse_reads, f"s{number}")):
            expected = [(edge.role, edge.source) for edge in into if edge.target == target]
            pairs = re.findall(r"(?:(left|right|stem) )?([ds]\d+)", reads)
            assert sorted((role or "input", source) for role, source in pairs) == sorted(expected)
        assert mergers.split() == ["d→s"] * alive.dense_to_sparse + ["s→d"] * alive.sparse_to_dense


def test_stem_and_head() -> None:
    """The stems say what comes in, the head what it reads."""
    architecture = single_operator_any_connection(NASREC_SMALL, numpy.random.default_rng(0))
    table = rows(draw_text(architecture, InputShape(1, 10, 8)))
    assert table["stem"] == ["d0", "1", "integers", "s0", "10", "fields × 8", ""]
    assert (table["head"][2], table["head"][5]) == ("d7", "s7")


@given(architectures)
def test_the_head_reads_what_it_reads(architecture: Architecture) -> None:
    """The last row has exactly the outputs that make the logit, stems included."""
    cells = rows(draw_text(architecture))["head"]
    assert cells[2].split() == [f"d{output}" for output in architecture.logit.dense]
    assert cells[5].split() == [f"s{output}" for output in architecture.logit.sparse]


def test_a_stem_with_vectors() -> None:
    """DLRM's bottom MLP makes one vector of the integers, which joins the fields."""
    shape = InputShape(13, 26, 16)
    table = rows(draw_text(handmade("dlrm", shape), shape))
    stem = handmade("dlrm", shape).stem
    widths = "".join(f" → {width}" for width in stem.hidden)
    assert table["stem"] == ["d0", "16", f"integers{widths} → 1 vector", "s0", "27", "fields × 16 d0", ""]
