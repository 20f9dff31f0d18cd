"""pipeline/run/files.py: a file is the old one or the new one, never a piece."""

import errno
import hashlib
import math
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pipeline.run.files import atomic_write, read_json, scratch_file, sha256, write_json

ROOT = Path(__file__).parents[3]


def run_python(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A Python process on the project's packages."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_contents_appear_whole(tmp_path: Path) -> None:
    """Until the block ends the old contents stand; afterwards the new ones, and nothing else lies in the folder."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with atomic_write(path) as handle:
        handle.write(b"new")
        handle.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_text_is_utf8_without_translation(tmp_path: Path) -> None:
    """A text handle writes UTF-8 and leaves line ends alone."""
    with atomic_write(tmp_path / "a.txt", text=True) as handle:
        handle.write("é\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\n".encode()


@pytest.mark.parametrize("exception", [RuntimeError, KeyboardInterrupt])
def test_exception_keeps_the_old_file(tmp_path: Path, exception: type[BaseException]) -> None:
    """An exception in the block goes on unchanged, the old file stays, the temporary goes."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(exception, match="mine"), atomic_write(path) as handle:
        handle.write(b"new")
        raise exception("mine")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("size", [100, 10_000_000], ids=["found_on_flush", "found_on_write"])
def test_no_space_left(tmp_path: Path, size: int) -> None:
    """A write the kernel refuses (file size limit of the process) is an OSError naming path and cause."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = """
        import resource, signal, sys
        from pipeline.run.files import atomic_write
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        with atomic_write(sys.argv[1]) as handle:
            handle.write(b"x" * int(sys.argv[2]))
    """
    process = run_python(code, str(path), str(size))
    _, errors = process.communicate()
    assert process.returncode == 1
    assert f"OSError: [Errno {errno.EFBIG}] file size limit reached while writing".encode() in errors
    assert str(path).encode() in errors.splitlines()[-1]
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="this system has no /dev/full")
def test_disk_full(tmp_path: Path) -> None:
    """ENOSPC from the kernel (a temporary that leads to /dev/full) says `disk full` and the path."""
    path = tmp_path / "a.bin"
    (tmp_path / f"a.bin.tmp-{os.getpid()}").symlink_to("/dev/full")
    with pytest.raises(OSError, match="disk full") as caught, atomic_write(path) as handle:
        handle.write(b"x")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert os.listdir(tmp_path) == []


def test_scratch_file(tmp_path: Path) -> None:
    """It keeps what is written, has no name in its folder, and says which folder is full."""
    with scratch_file(tmp_path) as handle:
        handle.write(b"abc")
        handle.seek(1)
        assert handle.read() == b"bc" and os.listdir(tmp_path) == []
    with pytest.raises(OSError, match="disk full") as caught, scratch_file(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path)


def test_killed_in_the_middle(tmp_path: Path) -> None:
    """SIGKILL half way through leaves the old file."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = """
        import sys, time
        from pipeline.run.files import atomic_write
        with atomic_write(sys.argv[1]) as handle:
            handle.write(b"new")
            handle.flush()
            print("written", flush=True)
            time.sleep(60)
    """
    process = run_python(code, str(path))
    assert process.stdout is not None and process.stdout.readline() == b"written\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert path.read_bytes() == b"old"


def test_json_round_trip(tmp_path: Path) -> None:
    """What was written is read back, key order included."""
    document = {"b": [1, 2.5, None, True], "a": {"é": "x"}}
    write_json(tmp_path / "a.json", document)
    assert read_json(tmp_path / "a.json") == document
    assert list(read_json(tmp_path / "a.json")) == ["b", "a"]


@pytest.mark.parametrize("value", [math.nan, math.inf, object()])
def test_json_refuses_what_json_cannot_hold(tmp_path: Path, value: object) -> None:
    """NaN, infinity and foreign objects are a ValueError naming the file, which is not made."""
    with pytest.raises(ValueError, match=r"a\.json"):
        write_json(tmp_path / "a.json", {"x": value})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("contents, where", [(b'{"a": 1,\n "b": }', "line 2, column 7"), (b"\xff", "byte 0")])
def test_broken_json_is_located(tmp_path: Path, contents: bytes, where: str) -> None:
    """A broken document is a ValueError with the file and the place."""
    path = tmp_path / "a.json"
    path.write_bytes(contents)
    with pytest.raises(ValueError, match=rf"a\.json.*{where}"):
        read_json(path)


def test_sha256(tmp_path: Path) -> None:
    """The digest is hashlib's of the bytes."""
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
