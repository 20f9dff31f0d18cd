"""Stores behind iopath: s3://, gs://, hdfs://, … by pyarrow, other schemes by fsspec, http(s):// by ranges.

Every request is repeated as `retry.py` says, and by nothing else: the clients' own rules differ, and none covers a body
that is cut short. Settings of S3 are those of its own tools: AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL, ….
"""

import functools
import io
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import fsspec
import pyarrow as pa
import pyarrow.fs
from iopath.common.file_io import PathHandler, PathManager

from pipeline.data.storage import retry
from pipeline.data.storage.retry import StorageError, cause_of, with_retries

T = TypeVar("T")
ARROW_SCHEMES = ("s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")
BUFFER_BYTES = 4 * 2**20
"""Read at once where a file is read from its beginning to its end."""


class Source(Protocol):
    """A file of a store, open for reading."""

    def size(self) -> int:
        """Bytes."""

    def read_at(self, nbytes: int, offset: int) -> bytes:
        """That many bytes from the offset on."""


class RemoteFile(io.RawIOBase):
    """A file of a store; after an error it is opened anew and resumes where it was."""

    def __init__(self, path: str, open_source: Callable[[], Source]) -> None:
        self.path, self._open_source = path, open_source
        self._source: Source | None = None
        self._place = 0
        self._size = self._ask(lambda source: source.size())

    def _ask(self, ask: Callable[[Source], T]) -> T:
        def once() -> T:
            source = self._source if self._source is not None else self._open_source()
            self._source = None  # a source that failed is not asked again
            answer = ask(source)
            self._source = source
            return answer

        return with_retries(self.path, once)

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The place of the next byte read."""
        return self._place

    def seek(self, offset: int, whence: int = 0) -> int:
        """Moves, without asking the store."""
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def read(self, size: int | None = -1) -> bytes:
        """All the bytes asked for, fewer only at the end."""
        left = max(0, self._size - self._place)
        wanted = left if size is None or size < 0 else min(size, left)
        if not wanted:
            return b""
        place = self._place

        def whole(source: Source) -> bytes:
            contents = source.read_at(wanted, place)
            if len(contents) != wanted:
                raise OSError(f"{len(contents)} bytes came of {wanted}")
            return contents

        contents = self._ask(whole)
        self._place += wanted
        return contents

    def readinto(self, buffer: Any) -> int:
        """For `io.BufferedReader`."""
        contents = self.read(len(buffer))
        buffer[: len(contents)] = contents
        return len(contents)


class _StoreHandler(PathHandler):
    """iopath's way to one scheme."""

    def __init__(self, scheme: str) -> None:
        super().__init__()
        self.scheme = scheme

    def _get_supported_prefixes(self) -> list[str]:
        return [f"{self.scheme}://"]


def _listed(path: str, request: Callable[[], T]) -> T:
    """`with_retries` for requests whose refusal does not name the path by itself."""
    try:
        return with_retries(path, request)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{path}: {cause_of(error)}") from error


class FileSystemHandler(_StoreHandler):
    """A file system of pyarrow or fsspec."""

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **_: Any) -> Any:
        file_system, inner = self._resolve(path)
        if mode == "wb":
            return with_retries(path, lambda: file_system.open_output_stream(inner))
        if mode != "rb":
            raise ValueError(f"{path}: opened with mode {mode!r}; stores are read and written as bytes (rb, wb)")
        return io.BufferedReader(RemoteFile(path, lambda: file_system.open_input_file(inner)), BUFFER_BYTES)

    def _exists(self, path: str, **_: Any) -> bool:
        return self._type(path) != pa.fs.FileType.NotFound

    def _isfile(self, path: str, **_: Any) -> bool:
        return self._type(path) == pa.fs.FileType.File

    def _isdir(self, path: str, **_: Any) -> bool:
        return self._type(path) == pa.fs.FileType.Directory

    def _ls(self, path: str, **_: Any) -> list[str]:
        file_system, inner = self._resolve(path)
        selector = pa.fs.FileSelector(inner.rstrip("/"))
        return [info.base_name for info in _listed(path, lambda: file_system.get_file_info(selector))]

    def _mkdirs(self, path: str, **_: Any) -> None:
        file_system, inner = self._resolve(path)
        with_retries(path, lambda: file_system.create_dir(inner, recursive=True))

    def _rm(self, path: str, **_: Any) -> None:
        file_system, inner = self._resolve(path)
        with_retries(path, lambda: file_system.delete_file(inner))

    def _type(self, path: str) -> pa.fs.FileType:
        file_system, inner = self._resolve(path)
        return _listed(path, lambda: file_system.get_file_info(inner.rstrip("/"))).type

    def _resolve(self, path: str) -> tuple[pa.fs.FileSystem, str]:
        """The file system and the path in it."""
        parts = urlsplit(path)
        if self.scheme == "s3":
            endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
            return _s3(endpoint), parts.netloc + parts.path
        if self.scheme in ARROW_SCHEMES:
            file_system, _ = _file_system_of(f"{parts.scheme}://{parts.netloc}/")
            return file_system, parts.path if self.scheme in ("hdfs", "viewfs") else parts.netloc + parts.path
        file_system = fsspec.filesystem(self.scheme)
        return pa.fs.PyFileSystem(pa.fs.FSSpecHandler(file_system)), file_system._strip_protocol(path)


@functools.cache
def _s3(endpoint: str) -> pa.fs.S3FileSystem:
    """S3, or what speaks like it at another endpoint. Retrying is left to `retry.py`: one attempt each."""
    parts = urlsplit(endpoint)
    return pa.fs.S3FileSystem(
        endpoint_override=parts.netloc or None,
        scheme=parts.scheme or "https",
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
        connect_timeout=10,
        retry_strategy=pa.fs.AwsStandardS3RetryStrategy(max_attempts=1),
    )


@functools.cache
def _file_system_of(root: str) -> tuple[pa.fs.FileSystem, str]:
    found: tuple[pa.fs.FileSystem, str] = pa.fs.FileSystem.from_uri(root)
    return found


class HttpHandler(_StoreHandler):
    """Files of web servers that serve ranges; such servers have no folders."""

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **_: Any) -> Any:
        if mode != "rb":
            raise ValueError(f"{path}: opened with mode {mode!r}; web servers are read as bytes (rb)")
        return io.BufferedReader(RemoteFile(path, lambda: _HttpSource(path)), BUFFER_BYTES)

    def _exists(self, path: str, **_: Any) -> bool:
        try:
            with_retries(path, lambda: _HttpSource(path).size())
        except FileNotFoundError:
            return False
        return True

    def _isfile(self, path: str, **_: Any) -> bool:
        return self._exists(path)

    def _isdir(self, path: str, **_: Any) -> bool:
        return False


class _HttpSource:
    """A file of a web server."""

    def __init__(self, path: str) -> None:
        self.path = path

    def size(self) -> int:
        _, content_range = self._get("bytes=0-0")
        return int(content_range.rpartition("/")[2])

    def read_at(self, nbytes: int, offset: int) -> bytes:
        return self._get(f"bytes={offset}-{offset + nbytes - 1}")[0]

    def _get(self, wanted: str) -> tuple[bytes, str]:
        request = urllib.request.Request(self.path, headers={"Range": wanted})
        try:
            with urllib.request.urlopen(request, timeout=retry.RETRY_RULE.timeout_s) as answer:
                if answer.status != 206:
                    raise PermissionError(f"{self.path}: the server does not serve ranges; copy the file here first")
                return answer.read(), answer.headers["Content-Range"]
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 416:  # nothing in that range: an empty file
                    return b"", "bytes */0"
                if error.code in (404, 410):
                    raise FileNotFoundError(f"{self.path}: HTTP status {error.code}") from error
            raise OSError(f"HTTP status {error.code}: {error.reason}") from error


def register(manager: PathManager) -> None:
    """Makes iopath know the stores."""
    for scheme in ("http", "https"):
        manager.register_handler(HttpHandler(scheme))
    others = set(fsspec.available_protocols()) - {"http", "https", "file", "local", *ARROW_SCHEMES}
    for scheme in (*ARROW_SCHEMES, *sorted(others)):
        manager.register_handler(FileSystemHandler(scheme))
