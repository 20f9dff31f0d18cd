"""Settings of the whole test suite: hypothesis draws the same examples everywhere and never judges by the clock."""

import os

from hypothesis import settings

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as pipeline/__init__.py; read when torch is first imported

settings.register_profile("house", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("house")
