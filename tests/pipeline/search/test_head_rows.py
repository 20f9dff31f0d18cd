"""pipeline/search/head_rows.py: the features that are kept and those computed anew are the same, in the same pieces."""

import numpy
import pytest
import torch

from modules.space import NASREC_SMALL, InputShape, single_operator_any_connection
from modules.supernet import Subnet
from pipeline.search.head_rows import READ_ROWS, HeadRows
from pipeline.training.frozen_rows import CHUNK_ROWS, FrozenRows

ROWS = 2 * CHUNK_ROWS + 100


@pytest.mark.parametrize(("start", "stop"), [(0, ROWS), (0, 1), (7, CHUNK_ROWS), (CHUNK_ROWS - 1, ROWS - 1)])
def test_kept_or_not(start: int, stop: int) -> None:
    """Any part of the rows, once each and in order, at most READ_ROWS at a time, with the features of whole chunks."""
    generator = torch.Generator().manual_seed(0)
    rows = FrozenRows(
        torch.rand(ROWS, 2, generator=generator),
        torch.randn(ROWS, 3, 4, generator=generator),
        torch.rand(ROWS, generator=generator),
    )
    architecture = single_operator_any_connection(NASREC_SMALL, numpy.random.default_rng(0))
    network = Subnet(architecture, InputShape(2, 3, 4)).eval()
    with torch.no_grad():
        kept = [network.features(chunk.dense, chunk.embedded) for chunk in rows.chunks()]
    expected = torch.cat(kept)[start:stop], rows.label[start:stop]
    for one in (HeadRows(network, rows, kept), HeadRows(network, rows), HeadRows.of(torch.cat(kept), rows.label)):
        assert len(one) == ROWS
        chunks = list(one.chunks(start, stop))
        assert max(len(label) for _, label, _ in chunks) <= READ_ROWS
        for place, column in enumerate(expected):
            assert torch.equal(torch.cat([chunk[place] for chunk in chunks]), column)
