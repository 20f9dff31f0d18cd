"""An S3-protocol server on loopback whose answers can be made to fail, for the tests of streams from a store."""

import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from pipeline.data.storage import retry

STALL_S = 2.0
"""How long a stalled answer hangs: beyond the patience that the tests set."""


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    store: "S3Server"
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._serve(body=False)

    def do_GET(self) -> None:
        self._serve(body=True)

    def _serve(self, body: bool) -> None:
        request = f"{self.command} {self.path}"
        self.store.requests.append(request)
        fault = self.store.fault(request, len(self.store.requests))
        if fault == "stall":
            time.sleep(STALL_S)
        if fault == "drop":
            self.close_connection = True
            self.connection.close()
        elif fault in ("503", "403"):
            names = {"503": "SlowDown", "403": "AccessDenied"}
            self._answer(int(fault), f"<Error><Code>{names[fault]}</Code></Error>".encode(), body)
        else:
            self._object(body, cut=fault == "cut")

    def _object(self, body: bool, cut: bool) -> None:
        parts = urlsplit(self.path)
        key = unquote(parts.path).strip("/")
        if "list-type" in parts.query:
            self._answer(200, self.store.listing(key, parse_qs(parts.query)), body)
        elif key not in self.store.objects:
            bucket = any(name.startswith(key + "/") for name in self.store.objects) and "/" not in key
            self._answer(200 if bucket else 404, b"", body)
        elif (wanted := self.headers.get("Range")) and body:
            contents = self.store.objects[key]
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            stop = min(len(contents), int(last) + 1 if last else len(contents))
            if int(first) >= len(contents):
                self._answer(416, b"", body)
                return
            header = {"Content-Range": f"bytes {first}-{stop - 1}/{len(contents)}"}
            self._answer(206, contents[int(first) : stop], body, cut, header)
        else:
            self._answer(200, self.store.objects[key], body, cut)

    def _answer(
        self, status: int, contents: bytes, body: bool, cut: bool = False, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        fixed = {"Content-Length": str(len(contents)), "Last-Modified": formatdate(0, usegmt=True)}
        for name, value in {**fixed, "ETag": '"e"', **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(contents[: len(contents) // 2] if cut else contents)
        if cut:
            self.close_connection = True


class S3Server:
    """Objects in memory; GET (with ranges), HEAD and ListObjectsV2 of the S3 protocol, path-style addresses."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        """bucket/key → contents."""
        self.requests: list[str] = []
        """Method and path of every request."""
        self.fault: Callable[[str, int], str] = lambda request, number: ""
        """(request, its number) → "" | "503" | "403" | "drop" | "cut" | "stall"."""
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("OwnHandler", (Handler,), {"store": self}))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def listing(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        """ListObjectsV2's answer, on one page."""
        prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        keys = sorted(name.removeprefix(bucket + "/") for name in self.objects if name.startswith(bucket + "/"))
        contents, folders = [], set()
        for key in keys:
            if not key.startswith(prefix):
                continue
            head, found, _ = key.removeprefix(prefix).partition(delimiter) if delimiter else (key, "", "")
            if found:
                folders.add(prefix + head + delimiter)
            else:
                size = len(self.objects[f"{bucket}/{key}"])
                contents.append(
                    f"<Contents><Key>{key}</Key><LastModified>1970-01-01T00:00:00.000Z</LastModified><ETag>e</ETag>"
                    f"<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
                )
        common = [f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>" for folder in sorted(folders)]
        return (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><Prefix>{prefix}</Prefix><KeyCount>{len(contents) + len(common)}</KeyCount>"
            f"<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{''.join(contents + common)}</ListBucketResult>"
        ).encode()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The server, with the environment by which S3's tools would find it, and a client of little patience."""
    server = S3Server()
    for name, value in {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(retry, "RETRY_RULE", retry.RetryRule(attempts=4, first_pause_s=0.01, timeout_s=1.0))
    yield server
    server.close()
