"""What torch raises where another process of the run, or the store that they met at, is gone or does not answer."""

from torch import distributed

_WORDS = ("closed by peer", "reset by peer", "Broken pipe", "Connection refused", "Timed out", "timed out", "timeout")
"""In messages of gloo, which come as plain RuntimeErrors."""
_PLACES = ("gloo", "c10d", "TCPStore", "ProcessGroup", "NCCL")


def lost_process(error: BaseException) -> str | None:
    """One line about a process that is gone or hangs, if that is what `error` is about."""
    if not isinstance(error, RuntimeError):
        return None
    text = str(error).strip()
    first = next(iter(text.splitlines()), type(error).__name__)
    is_network = isinstance(error, distributed.DistNetworkError | distributed.DistStoreError)
    is_backend = isinstance(error, distributed.DistBackendError)
    if not (is_network or is_backend or (any(map(text.count, _WORDS)) and any(map(text.count, _PLACES)))):
        return None
    what = "the process that keeps the run's store" if is_network else "another process of this run"
    return (
        f"{what} is gone or does not answer ({first[:200]}); the same command resumes from the last checkpoint, "
        "on as many processes as there are then"
    )
