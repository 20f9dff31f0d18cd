"""pipeline/search/head_rows.py: kept features and those computed anew are the same; a reading's sums are autograd's."""

import numpy
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.space import NASREC_SMALL, InputShape, single_operator_any_connection
from modules.supernet import Subnet
from pipeline.search.head_fit import Reading
from pipeline.search.head_rows import HeadRows, curved, piece_sums
from pipeline.training.frozen_rows import CHUNK_ROWS, FrozenRows, HeldRows

ROWS = 4 * CHUNK_ROWS + 100
GENERATOR = torch.Generator().manual_seed(0)
SAMPLE = FrozenRows(
    torch.rand(ROWS, 2, generator=GENERATOR),
    torch.randn(ROWS, 3, 4, generator=GENERATOR),
    (torch.rand(ROWS, generator=GENERATOR) < 0.3).float(),
    2 * torch.rand(ROWS, generator=GENERATOR),
)
ENDS = [(0, ROWS), (0, 1), (7, CHUNK_ROWS), (CHUNK_ROWS - 1, ROWS - 1), (CHUNK_ROWS, 2 * CHUNK_ROWS)]


@pytest.mark.parametrize(("start", "stop"), ENDS)
@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
def test_kept_or_not(start: int, stop: int, ranks: int) -> None:
    """Any part of the rows, each on one rank and in order there, with the features of whole pieces."""
    architecture = single_operator_any_connection(NASREC_SMALL, numpy.random.default_rng(0))
    network = Subnet(architecture, InputShape(2, 3, 4)).eval()
    with torch.no_grad():
        features = torch.cat([network.features(chunk.dense, chunk.embedded) for chunk in SAMPLE.chunks()])
    found: dict[int, tuple[torch.Tensor, ...]] = {}
    for rank in range(ranks):
        held = HeldRows.of(SAMPLE, None, rank, ranks)
        kept = [features[slice(*piece)] for _, piece, _ in held.held(0, ROWS)]
        reads = [list(HeadRows(network, held, own).read(start, stop)) for own in (kept, [])]
        for one, other in zip(*reads, strict=True):
            assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))  # type: ignore[arg-type]
        numbers = [rank + place * ranks for place in range(len(held.pieces[rank::ranks]))]
        touched = [n for n in numbers if held.pieces[n][0] < stop and held.pieces[n][1] > start]
        found |= dict(zip(touched, reads[0], strict=True))  # type: ignore[arg-type]
    for place, column in enumerate((features, SAMPLE.label, SAMPLE.factor)):
        assert torch.equal(torch.cat([found[number][place] for number in sorted(found)]), column[start:stop])


@pytest.mark.parametrize(("start", "stop"), ENDS)
@pytest.mark.parametrize("factor", [None, SAMPLE.factor])
def test_sums_are_autograds(start: int, stop: int, factor: torch.Tensor | None) -> None:
    """Over the pieces, the log losses, each times what its row counts for, and their gradient in float64; unasked, no
    gradient; the curved columns give the Hessian."""
    features = SAMPLE.embedded.flatten(1)  # [R, 12]
    rows, point = HeadRows.of(features, SAMPLE.label, factor), torch.linspace(-1, 1, 13).double()
    counted = None if factor is None else factor[start:stop].double()

    def total(at: torch.Tensor) -> torch.Tensor:
        logit = features[start:stop].double() @ at[:-1] + at[-1]
        return binary_cross_entropy_with_logits(logit, SAMPLE.label[start:stop].double(), counted, reduction="sum")

    own = point.clone().requires_grad_()
    loss = total(own)
    (gradient,) = torch.autograd.grad(loss, own)
    sums = piece_sums(rows, Reading(point, start, stop, has_gradient=True)).sum(0)
    torch.testing.assert_close(sums, torch.cat([gradient, loss.detach()[None]]), rtol=1e-12, atol=1e-12)
    unasked = piece_sums(rows, Reading(point, start, stop, has_gradient=False)).sum(0)
    assert torch.equal(unasked[-1], sums[-1]) and not unasked[:-1].any()
    if start == 0:
        hessian = torch.autograd.functional.hessian(total, point)
        parts = [part.t() @ part for part in curved(rows, stop, point)]
        torch.testing.assert_close(sum(part.double() for part in parts), hessian, rtol=1e-5, atol=1e-3)


def test_a_rank_without_rows() -> None:
    """With more ranks than pieces the others hold nothing, and give no sums."""
    held = HeldRows.of(SAMPLE.first(10), None, 1, 2)
    assert len(held) == 10 and len(held.rows) == 0
    rows = HeadRows(None, held, [])
    assert piece_sums(rows, Reading(torch.zeros(5).double(), 0, 10, has_gradient=True)).shape == (0, 6)
