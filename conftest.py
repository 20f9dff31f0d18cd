"""Settings of the whole test suite: hypothesis draws the same examples everywhere and never judges by the clock."""

from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("house")
