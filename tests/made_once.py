"""What many tests read and is dear to make: made by the first process that needs it, and found by all others.

pytest-xdist gives each of its processes a folder of its own in one that they share; there it is made, behind a lock
(https://pytest-xdist.readthedocs.io, "Making session-scoped fixtures execute only once").
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder that `make(folder)` has filled, once a session, whichever process called it. Not to be changed.

    What fails, or is killed, leaves nothing that another process would take for whole: it makes it anew.
    """
    own = factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder, made = shared / name, shared / f"{name}.made"
    with FileLock(shared / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder
