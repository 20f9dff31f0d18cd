"""An open session on a copy of the tiny run, for the tests of a stage's parts."""

from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.run.processes import join
from pipeline.session import Session, open_session

TinyRun = Any


@pytest.fixture
def session(copied: TinyRun) -> Iterator[Session]:
    """An open session on a copy of the finished run."""
    with join("cpu") as processes, open_session(copied.config, processes) as opened:
        yield opened
