"""A light load on a server: single rows over connections that are kept, each asking again when it is answered.

    python -m benchmarks.serving_load --port 8080 --rows rows.jsonl [--connections 16] [--seconds 10]

Started by benchmarks/serving.py, in a process of its own. A request is lost where its connection breaks, or where its
answer is not status 200. The last line is JSON: requests, lost, requests_per_s, p50_ms, p99_ms.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import tyro
import uvloop


@dataclass(frozen=True)
class LoadConfig:
    """What is asked, and how much of it at a time."""

    port: int
    """Of the server, on loopback."""
    rows: Path
    """A file of raw rows, a JSON object a line."""
    connections: int = 16
    """Connections, at least 1: as many requests are under way."""
    seconds: float = 10.0
    """How long, above 0."""
    until: Path | None = None
    """A file that ends the load once it is there, in place of the seconds."""


@dataclass
class Counts:
    """What became of the requests."""

    lost: int = 0
    """Requests without a good answer."""
    seconds: list[float] = field(default_factory=list)
    """Of each answered one."""


class Client(asyncio.Protocol):
    """A connection."""

    def __init__(self, requests: list[bytes], first: int, counts: Counts, ended: "asyncio.Future[None]") -> None:
        self._requests, self._next, self._counts, self._ended = requests, first, counts, ended
        self._received, self._sent_at, self._is_stopped = b"", 0.0, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first time."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Count an answer that is whole, and ask again."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        self._counts.seconds.append(time.perf_counter() - self._sent_at)
        if not head.startswith(b"HTTP/1.1 200"):
            self._counts.lost += 1
        self._received = b""
        if self._is_stopped:
            self._finish()
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """Its request has no answer."""
        if not self._ended.done():
            self._counts.lost += 1
            self._finish()

    def stop(self) -> None:
        """Ask no more once the answer is there."""
        self._is_stopped = True

    def _ask(self) -> None:
        self._next = (self._next + 1) % len(self._requests)
        self._sent_at = time.perf_counter()
        self._transport.write(self._requests[self._next])

    def _finish(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
        self._transport.close()


async def load(config: LoadConfig) -> dict[str, float]:
    """Ask for as long as wanted; returns the last line."""
    bodies = [line.encode() for line in config.rows.read_text(encoding="utf-8").splitlines()]
    head = b"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
    requests, counts, loop = [head % len(body) + body for body in bodies], Counts(), asyncio.get_running_loop()
    clients, ended, begun = list[Client](), list[asyncio.Future[None]](), time.perf_counter()
    for number in range(config.connections):
        ended.append(loop.create_future())
        client = Client(requests, number * 7919, counts, ended[-1])
        await loop.create_connection(lambda client=client: client, "127.0.0.1", config.port)  # type: ignore[misc]
        clients.append(client)
    if config.until is None:
        await asyncio.sleep(config.seconds)
    while config.until is not None and not config.until.exists():
        await asyncio.sleep(0.05)
    for client in clients:
        client.stop()
    await asyncio.wait(ended, timeout=30)
    counts.lost += sum(not one.done() for one in ended)
    found, wall = sorted(counts.seconds) or [0.0], time.perf_counter() - begun
    return {
        "requests": len(counts.seconds),
        "lost": counts.lost,
        "requests_per_s": round(len(counts.seconds) / wall, 1),
        "p50_ms": round(1e3 * found[len(found) // 2], 3),
        "p99_ms": round(1e3 * found[min(len(found) - 1, int(0.99 * len(found)))], 3),
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(load(tyro.cli(LoadConfig, description=__doc__)))))
