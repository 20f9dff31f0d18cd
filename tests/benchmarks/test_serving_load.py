"""benchmarks/serving_load.py: what it counts is what a server that we know of did."""

import asyncio
import json
from pathlib import Path

from benchmarks.serving_load import LoadConfig, load

ROWS = [{"a": number} for number in range(5)]


def answered(tmp_path: Path, breaks_at: int, fails_at: int) -> tuple[dict[str, float], list[bytes]]:
    """The load on a server that closes the connection at one request and answers another with status 500."""
    bodies = list[bytes]()
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
                bodies.append(await reader.readexactly(length))
                if len(bodies) == breaks_at:
                    return
                status = b"500 No" if len(bodies) == fails_at else b"200 OK"
                writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n")
                await asyncio.sleep(0.001)
                writer.write(b"{}")  # the body apart from its head
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()

    async def run() -> dict[str, float]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        return await load(LoadConfig(port, tmp_path / "rows.jsonl", connections=3, seconds=0.3))

    return asyncio.run(run()), bodies


def test_nothing_is_lost(tmp_path: Path) -> None:
    """Every request of a server that answers all is counted, once."""
    found, bodies = answered(tmp_path, 0, 0)
    assert found["lost"] == 0 and found["requests"] == len(bodies) > 10
    assert {json.loads(body)["a"] for body in bodies} <= set(range(5)) and 1.0 < found["p50_ms"] <= found["p99_ms"]


def test_what_is_lost(tmp_path: Path) -> None:
    """A connection that breaks loses its request, and so does another status than 200."""
    found, bodies = answered(tmp_path, 7, 11)
    assert found["lost"] == 2 and found["requests"] == len(bodies) - 1
