"""pipeline/data/storage/retry.py: errors that may pass are waited out, others end at once, and nothing hangs."""

import http.client
import time
from collections.abc import Callable

import pyarrow as pa
import pytest
import tenacity

from pipeline.data.storage import retry
from pipeline.data.storage.retry import RetryRule, StorageError, with_retries


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses asked for, which are not made."""
    asked: list[float] = []
    monkeypatch.setattr(tenacity.nap, "sleep", asked.append)
    monkeypatch.setattr(tenacity.Retrying, "__init__", _without_sleep(tenacity.Retrying.__init__, asked))
    monkeypatch.setattr(retry, "RETRY_RULE", RetryRule(attempts=4, first_pause_s=0.5, timeout_s=5.0))
    return asked


def _without_sleep(original: Callable[..., None], asked: list[float]) -> Callable[..., None]:
    def init(self: tenacity.Retrying, **settings: object) -> None:
        original(self, sleep=asked.append, **settings)

    return init


def failing(times: int, error: Exception) -> Callable[[], str]:
    """A request that fails so often, then answers."""
    left = iter([True] * times)

    def request() -> str:
        if next(left, False):
            raise error
        return "answer"

    return request


PASSING = [
    *(OSError("HTTP status 503: slow down"), OSError("HTTP status 429: too many"), ConnectionResetError("lost")),
    *(http.client.IncompleteRead(b"half"), pa.ArrowException("curlCode: 56"), TimeoutError("late")),
]
PERMANENT = [
    *(FileNotFoundError("gone"), PermissionError("no"), OSError("AWS Error ACCESS_DENIED"), OSError("HTTP status 403")),
    *(pa.ArrowInvalid("not a bucket"), KeyError("ours"), AssertionError("ours")),
]


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_errors_that_pass(error: Exception, pauses: list[float]) -> None:
    """The answer comes after as many attempts as are allowed, each pause twice the one before."""
    assert with_retries("s3://a/b", failing(3, error)) == "answer"
    assert pauses == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_errors_that_stay(error: Exception) -> None:
    """After the last attempt the error names the path, the attempts and the cause."""
    with pytest.raises(StorageError, match=r"^s3://a/b: given up after 4 attempts: .+") as raised:
        with_retries("s3://a/b", failing(4, error))
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", PERMANENT, ids=repr)
def test_errors_for_good(error: Exception, pauses: list[float]) -> None:
    """What cannot pass is raised as it is, at once."""
    with pytest.raises(type(error)) as raised:
        with_retries("s3://a/b", failing(1, error))
    assert raised.value is error and not pauses


def test_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that does not return is abandoned and made again."""
    monkeypatch.setattr(retry, "RETRY_RULE", RetryRule(attempts=2, first_pause_s=0.5, timeout_s=0.05))
    waits = iter([1.0, 0.0])

    def request() -> str:
        time.sleep(next(waits))
        return "answer"

    assert with_retries("s3://a/b", request) == "answer"
