"""The one rule by which requests to a store are repeated, whichever client makes them; tenacity does the repeating.

Errors that may pass (5xx, a lost connection, no answer in time) are waited out with growing pauses; what is wrong for
good (not found, not allowed) is raised at once, and what stays wrong is an error with the path and the cause.
"""

import dataclasses
import http.client
import logging
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import pyarrow as pa
import tenacity

logger = logging.getLogger(__name__)

T = TypeVar("T")
_PERMANENT = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT_MATCH|NO_SUCH|RESOURCE_NOT_FOUND|"
    r"HTTP status 4(?!08|29)\d\d"  # 408: too slow, 429: too many requests
)


class StorageError(OSError):
    """A store that does not answer, or no longer does: the message names the path and the cause."""


@dataclasses.dataclass(frozen=True)
class RetryRule:
    """How long a store is waited for."""

    attempts: int = 6
    """How often a request is made, 1 or more."""
    first_pause_s: float = 0.5
    """Seconds before the second attempt; each pause is twice the one before: 15 s in all."""
    timeout_s: float = 60.0
    """Seconds for one answer, of 4 MB at most or of a row group's column."""


RETRY_RULE = RetryRule()
"""The process's."""


def with_retries(path: str, request: Callable[[], T]) -> T:
    """What `request` returns, repeated after errors that may pass. A StorageError when the attempts are used up."""

    def log_pause(state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None and state.next_action is not None
        cause = cause_of(state.outcome.exception())
        logger.warning("%s: %s; retrying in %g s", path, cause, state.next_action.sleep)

    rule = RETRY_RULE
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(rule.attempts),
        wait=tenacity.wait_exponential(multiplier=rule.first_pause_s),
        retry=tenacity.retry_if_exception(_may_pass),
        before_sleep=log_pause,
    )
    try:
        return retrying(_within, rule.timeout_s, request)
    except tenacity.RetryError as error:
        cause = error.last_attempt.exception()
        raise StorageError(f"{path}: given up after {rule.attempts} attempts: {cause_of(cause)}") from cause


def cause_of(error: BaseException | None) -> str:
    """The message of an error on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _may_pass(error: BaseException) -> bool:
    if not isinstance(error, OSError | http.client.HTTPException | pa.ArrowException):
        return False
    permanent = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, pa.ArrowInvalid)
    return not isinstance(error, permanent) and _PERMANENT.search(str(error)) is None


def _within(seconds: float, request: Callable[[], T]) -> T:
    """Makes the request in a thread that is abandoned when it takes too long: not every client knows a timeout."""
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(request())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, name="data-store", daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {seconds:g} s") if not answer.done() else error from None
