"""Waiting for other ranks on the process group's store, for as long as they live.

A collective fails after minutes, and has to: a rank that hangs in one is not seen otherwise. But rank 0 may search for
hours, and one rank may train for hours longer than another. They are waited for here instead: every rank's heart beats
on the store, and one that has not been heard of for `SILENCE_S` is gone.
"""

import contextlib
import threading
import time
from collections.abc import Mapping

from torch import distributed

BEAT_S = 5.0
"""Seconds between two beats of a heart."""
SILENCE_S = 120.0
"""Seconds without a beat after which a rank is taken to be gone: killed, or on a machine that is. On an overloaded
machine beats are late by less, since each takes no more than a moment of a core."""
LONGEST_NAP_S = 0.25
"""Seconds between two looks at the store."""


class Heart:
    """Beats on the store from a thread, so that the other ranks see that this one lives."""

    def __init__(self, store: distributed.Store, rank: int) -> None:
        # a connection of its own, as waiting holds a connection
        self._store: distributed.Store = store.clone()  # type: ignore[attr-defined]
        self._key = _heart(rank)
        self._stopped = threading.Event()
        self._store.set(self._key, "0")
        self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join(BEAT_S)  # and no longer, where the store does not answer: it ends with the process

    def _beat(self) -> None:
        beats = 0
        with contextlib.suppress(RuntimeError):  # the process that kept the store is gone, which others say
            while not self._stopped.wait(BEAT_S):
                beats += 1
                self._store.set(self._key, str(beats))


def wait_for(store: distributed.Store, keys: Mapping[int, str]) -> None:
    """Wait until each of these ranks has set its key.

    Raises ConnectionError when one of them is gone, or has left, that has not set it, and when the process that keeps
    the store is gone.
    """
    missing, nap_s = dict(keys), 0.001
    heard: dict[int, tuple[bytes, float]] = {}
    looked = 0.0
    try:
        while missing := {rank: key for rank, key in missing.items() if not store.check([key])}:
            if time.monotonic() - looked > BEAT_S:
                looked = time.monotonic()
                _listen(store, missing, heard)
            time.sleep(nap_s)
            nap_s = min(LONGEST_NAP_S, 1.5 * nap_s)
    except RuntimeError as error:  # of torch's: the connection is closed
        raise ConnectionError(f"the process that kept the ranks' store is gone ({_first_line(error)})") from error


def _listen(store: distributed.Store, missing: Mapping[int, str], heard: dict[int, tuple[bytes, float]]) -> None:
    """Take down each rank's beat and when it changed. Raises ConnectionError for a rank that left, or whose beat has
    not changed for too long."""
    now = time.monotonic()
    for rank, key in missing.items():
        if store.check([left(rank)]) and not store.check([key]):  # it may have come and left since the last look
            raise ConnectionError(f"rank {rank} has ended before the others, which wait for it; it has said why")
        beat = store.get(_heart(rank)) if store.check([_heart(rank)]) else b""
        before, since = heard.get(rank, (None, now))
        heard[rank] = (beat, since if beat == before else now)
        silence_s = now - heard[rank][1]
        if silence_s > SILENCE_S:
            raise ConnectionError(
                f"rank {rank} has not been heard of for {silence_s:.0f} s: its process or its machine is gone; start "
                "the same command again, and it resumes"
            )


def left(rank: int) -> str:
    """The key that a rank sets when it leaves."""
    return f"left {rank}"


def _heart(rank: int) -> str:
    return f"heart {rank}"


def _first_line(error: RuntimeError) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
