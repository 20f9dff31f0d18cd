"""Micro-batches: rows of requests that wait at the same moment are scored in one call of the model.

A batch is what has arrived within a wait after its first request (a millisecond, by default), or while the event loop
was busy with the batch before it. So no request waits longer for others than that, and batches grow with the load.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy

from pipeline.serving.served_model import ServedModel

Encoded = tuple[list[float], list[int]]
"""Dense inputs [I] and table rows [F] of a row."""


@dataclass(frozen=True, eq=False)
class _Request:
    """Rows that wait together."""

    model: ServedModel
    """Which model they were encoded for."""
    rows: list[Encoded]
    """At least one."""
    answer: "asyncio.Future[list[float]]"
    """Their probabilities."""


class Batcher:
    """Collects encoded rows and scores them together."""

    def __init__(self, most_rows: int, observe: Callable[[int], None], wait_s: float = 0.0) -> None:
        """`most_rows` of a batch; `observe` is told how many rows each has; `wait_s`: seconds that the first waits."""
        self._most_rows, self._observe, self._wait_s = most_rows, observe, wait_s
        self._waiting: list[_Request] = []

    def score(self, model: ServedModel, rows: list[Encoded]) -> "asyncio.Future[list[float]]":
        """The probabilities of rows that this model's encoder encoded, at least one and at most a batch."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[float]] = loop.create_future()
        if not self._waiting:
            loop.call_later(self._wait_s, self._run)
        self._waiting.append(_Request(model, rows, found))
        return found

    def _run(self) -> None:
        """Score what waits, a batch at a time; rows of the model before a reload are a batch of their own."""
        waiting, self._waiting = self._waiting, []
        while waiting:
            count, rows = 0, 0
            for one in waiting:
                if one.model is not waiting[0].model or (rows and rows + len(one.rows) > self._most_rows):
                    break
                count, rows = count + 1, rows + len(one.rows)
            self._answer(waiting[:count])
            waiting = waiting[count:]

    def _answer(self, batch: list[_Request]) -> None:
        """Score a batch and give each request its part; an error is every request's."""
        rows = [row for one in batch for row in one.rows]
        self._observe(len(rows))
        try:
            dense = numpy.array([row[0] for row in rows], numpy.float32)
            found, _ = batch[0].model.score(dense, numpy.array([row[1] for row in rows], numpy.int64))
            probabilities = found.tolist()
        except Exception as error:
            for one in batch:
                if not one.answer.done():  # its client may have gone
                    one.answer.set_exception(error)
            return
        first = 0
        for one in batch:
            if not one.answer.done():
                one.answer.set_result(probabilities[first : first + len(one.rows)])
            first += len(one.rows)
