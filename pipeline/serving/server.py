"""The server's processes: an RSGI application that Granian runs (python -m pipeline.serve starts it).

POST /score takes a raw row as a JSON object, or a list of them. A row is answered with {"probability": p}, or with
{"error": "..."} (status 422 where it is the only one). GET /health says which model is served, GET /metrics is
Prometheus's. Where model.json changes, the new export is loaded beside the old one, tried, and put in its place;
requests that were encoded for the old one are scored by it, so none is lost. An export that does not load is passed
over, and said.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

import torch

from pipeline.serving.batching import Batcher, Encoded
from pipeline.serving.raw_rows import RowError
from pipeline.serving.request_body import BodyError, read_rows
from pipeline.serving.served_model import ServedModel, load_served
from pipeline.serving.server_config import ServeConfig
from pipeline.serving.server_metrics import ServerMetrics, exposition

SETTINGS = "PIPELINE_SERVE_SETTINGS"
"""Environment variable in which the processes find the settings, as JSON."""
ENCODED_AT_ONCE = 64
"""Rows of one request after which others have a turn."""
JSON_TYPE, TEXT_TYPE = [("content-type", "application/json")], [("content-type", "text/plain; version=0.0.4")]


def application() -> "Server":
    """What a process serves."""
    torch.set_num_threads(1)
    return Server(ServeConfig(**json.loads(os.environ[SETTINGS])))


class Server:
    """One process: its model, what waits for it, and what it counts."""

    def __init__(self, config: ServeConfig) -> None:
        self._config, self._metrics = config, ServerMetrics()
        self._seen = _signature(config)
        self._model = load_served(config.card, config.format)
        self._problem = ""
        self._metrics.loaded_at.set_to_current_time()
        self._batcher = Batcher(config.batch_rows, self._metrics.batch_rows.observe, config.wait_ms / 1e3)
        self._watching: asyncio.Task[None] | None = None

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Granian calls it when the process begins."""
        self._watching = loop.create_task(self._watch())

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer a request."""
        match scope.method, scope.path:
            case "POST", "/score":
                status, body, kind = *await self._score(scope, protocol), JSON_TYPE
            case "GET", "/health":
                status, body, kind = 200, json.dumps(self._health()).encode(), JSON_TYPE
            case "GET", "/metrics":
                status, body, kind = 200, exposition(), TEXT_TYPE
            case _:
                status, body, kind = 404, _error("there are POST /score, GET /health and GET /metrics"), JSON_TYPE
        self._metrics.count(scope.path if status != 404 else "other", status)
        protocol.response_bytes(status, kind, body)

    def _health(self) -> dict[str, Any]:
        model = self._model
        return {"model": str(model.file), "format": model.format, "sha256": model.sha256, "problem": self._problem}

    async def _score(self, scope: Any, protocol: Any) -> tuple[int, bytes]:
        """Status and body of the answer to POST /score."""
        begun = time.perf_counter()
        try:
            given = await read_rows(scope, protocol, int(self._config.body_mb * 1e6))
        except BodyError as error:
            return error.status, _error(str(error))
        rows = given if isinstance(given, list) else [given]
        try:
            answers = await self._answers(self._model, rows)
        except Exception as error:  # of the model: the process goes on
            print(f"pipeline.serve: {self._model.file}: {error!r}", file=sys.stderr, flush=True)
            return 500, _error("the model failed; see the server's log")
        self._metrics.seconds.observe(time.perf_counter() - begun)
        if isinstance(given, list):
            return 200, b"[" + b",".join(answers) + b"]"
        return (422 if answers[0].startswith(b'{"error"') else 200), answers[0]

    async def _answers(self, model: ServedModel, rows: list[Any]) -> list[bytes]:
        """An answer for each row, as JSON."""
        answers, places, encoded = [b""] * len(rows), list[int](), list[Encoded]()
        waiting = list[tuple[list[int], asyncio.Future[list[float]]]]()
        for number, row in enumerate(rows):
            try:
                encoded.append(model.rows.encode(row))
                places.append(number)
            except RowError as error:
                answers[number] = _error(str(error))
            if len(encoded) == min(ENCODED_AT_ONCE, self._config.batch_rows):
                waiting.append((places, self._batcher.score(model, encoded)))
                places, encoded = [], []
                await asyncio.sleep(0)
        if encoded:
            waiting.append((places, self._batcher.score(model, encoded)))
        scored = 0
        for places, future in waiting:
            for number, probability in zip(places, await future, strict=True):
                answers[number] = b'{"probability": %.9g}' % probability
                scored += 1
        self._metrics.scored.inc(scored)
        if scored < len(rows):
            self._metrics.refused.inc(len(rows) - scored)
        return answers

    async def _watch(self) -> None:
        """Look for a new export for as long as the process runs."""
        while True:
            await asyncio.sleep(self._config.look_s)
            try:
                await self._reload()
            except Exception as error:  # whatever it is, the model that there is goes on
                self._refuse(error)

    async def _reload(self) -> None:
        """Load the export if model.json is another file than the last one met."""
        found = _signature(self._config)
        if found == self._seen:
            return
        model = await asyncio.to_thread(load_served, self._config.card, self._config.format)
        self._model, self._seen, self._problem = model, found, ""
        self._metrics.reloaded.inc()
        self._metrics.loaded_at.set_to_current_time()

    def _refuse(self, error: Exception) -> None:
        """Say what is wrong with an export, once; it is tried again at the next look: its files may be on their way."""
        if str(error) != self._problem:
            self._problem = str(error)
            self._metrics.not_reloaded.inc()
            print(f"pipeline.serve: {self._problem}; serving the model before it", file=sys.stderr, flush=True)


def _signature(config: ServeConfig) -> tuple[int, ...]:
    """What changes when model.json is another file."""
    try:
        found = config.card.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _error(message: str) -> bytes:
    return json.dumps({"error": message}).encode()
