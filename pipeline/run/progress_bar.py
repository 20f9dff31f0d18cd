"""Progress: a bar on a terminal; in a log file, which keeps everything, a line now and then."""

import io
import sys
import time
from typing import Any

from tqdm import tqdm

LINE_EVERY_S = 30.0
"""Seconds between the lines of a bar that is not on a terminal. What ends before has none."""
LINE = (
    "{desc}: {percentage:.0f} % ({n_fmt} of {total_fmt}), "
    "{elapsed} so far, about {remaining} to go, {rate_fmt}{postfix}"
)


class LinesOfProgress(tqdm):  # type: ignore[type-arg]  # its stubs make it generic in what it would iterate over
    """A bar that prints itself as whole lines to stderr, the last one when it is closed."""

    def __init__(self, **settings: Any) -> None:
        self._printed_s, self._printed_n = time.monotonic(), -1.0
        super().__init__(
            **settings, file=io.StringIO(), bar_format=LINE, mininterval=LINE_EVERY_S, maxinterval=LINE_EVERY_S
        )

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Print a line if it is time for one."""
        if time.monotonic() - self._printed_s >= LINE_EVERY_S:
            self._print()
        return True

    def close(self) -> None:
        """End it, with a last line if there were others."""
        if not self.disable and self._printed_n >= 0 and self.n != self._printed_n:
            self._print()
        super().close()

    def _print(self) -> None:
        self._printed_s, self._printed_n = time.monotonic(), self.n
        sys.stderr.write(f"{self}\n")  # one write: several processes may share the file
        sys.stderr.flush()


def progress_bar(**settings: Any) -> "tqdm[Any]":
    """A bar for `total` steps; takes tqdm's settings."""
    return tqdm(**settings) if sys.stderr.isatty() else LinesOfProgress(**settings)
