"""benchmarks/search_scale.py: simulated ranks score as one does, wait for one another, and hold a part of the rows."""

import pytest
import torch

from benchmarks.search_scale import SearchScaleConfig, main


@pytest.mark.slow
def test_five_simulated_ranks() -> None:
    """The program checks that scores are those of one rank; five of 5 to 11 pieces cannot all be busy."""
    threads = torch.get_num_threads()
    try:
        found = main(SearchScaleConfig(ranks=5, candidates=3, fit_rows=3_000, valid_rows=5_000, max_mflops=0.5))
    finally:
        torch.set_num_threads(threads)
    assert 0 < found["idle_share"] < 1 and 0.2 <= found["cache_share"] < 0.5
