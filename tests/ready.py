"""Python programs in real processes that need not import torch, torchrec and this project first, which takes seconds.

A `Ready` process has imported them, before any thread is started, and forks itself for each program it is given. Two
programs that run at the same time are two such processes' children, so they differ in what real ones differ in: process
id and environment, but the seed of hash(str) too, which orders sets.
"""

import importlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

MOST_S = 600.0
"""Seconds after which a program that has not ended is killed. A busy machine needs many; a hanging test only waits."""
IMPORTED = ("pytest", "pipeline.chain")
"""pytest, as a program may import the file of its test; the chain imports all else that takes long."""


class Ready:
    """A process that waits for programs, one at a time. It runs on one thread."""

    def __init__(self, imported: Sequence[str]) -> None:
        places = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, *imported],
            env={**os.environ, **places},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is not for it: it ends with its stdin
        )
        self._folder = tempfile.TemporaryDirectory()
        self._printed = [Path(self._folder.name) / name for name in ("stdout", "stderr")]

    def start(self, program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start Python source as `python -W ignore -c` would, in this process's folder and the environment given."""
        for path in self._printed:
            path.write_text("")  # not the last program's
        request = [program, ["-c", *arguments], dict(environment), os.getcwd(), *map(str, self._printed)]
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()

    def wait(self) -> subprocess.CompletedProcess[str]:
        """What the program ended with and printed. Raises TimeoutError, with what it printed, if it does not end."""
        stream = self._process.stdout
        assert stream is not None
        answered = bool(select.select([stream], [], [], MOST_S)[0])
        line = stream.readline() if answered else b""
        printed, complaint = (path.read_text() for path in self._printed)
        if not line:
            self.close()
            raise TimeoutError(f"the program has not ended after {MOST_S:g} s; it printed\n{printed}\n{complaint}")
        return subprocess.CompletedProcess([], int(line), printed, complaint)

    def close(self) -> None:
        """End the process, and the program that may still run."""
        os.killpg(self._process.pid, 9)
        self._process.communicate()
        self._folder.cleanup()

    @property
    def is_there(self) -> bool:
        """Whether it can be given a program."""
        return self._process.poll() is None


class ReadyProcesses:
    """Ready processes, started when they are first needed; `imported`: the modules that they have imported."""

    def __init__(self, imported: Sequence[str] = IMPORTED) -> None:
        self._imported = imported
        self._processes: list[Ready] = []

    def run(
        self, programs: Sequence[tuple[str, Sequence[str], Mapping[str, str]]]
    ) -> list[subprocess.CompletedProcess[str]]:
        """(source, arguments, environment) of each: all run at the same time; gives what each ended with."""
        self._processes = [process for process in self._processes if process.is_there]
        while len(self._processes) < len(programs):
            self._processes.append(Ready(self._imported))
        running = self._processes[: len(programs)]
        for process, (program, arguments, environment) in zip(running, programs, strict=True):
            process.start(program, arguments, environment)
        try:
            return [process.wait() for process in running]
        except BaseException:
            self.close()  # the others may wait for the one that has not ended
            raise

    def close(self) -> None:
        """End them."""
        for process in self._processes:
            if process.is_there:
                process.close()
        self._processes = []


def _fork_for_each_request() -> str:
    """Returns the program, in a child, with all that it was given in its place; the parent never returns."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    for line in sys.stdin.buffer:
        program, sys.argv, environment, folder, printed, complaint = json.loads(line)
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            answers.write(b"%d\n" % os.waitstatus_to_exitcode(status))
            continue
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        for descriptor, path in enumerate((os.devnull, printed, complaint)):
            opened = os.open(path, os.O_WRONLY | os.O_TRUNC if descriptor else os.O_RDONLY)
            os.dup2(opened, descriptor)
            os.close(opened)
        answers.close()
        return str(program)
    os._exit(0)


def _main() -> None:
    sys.path[0] = ""  # as `python -c` has it
    for name in sys.argv[1:]:
        importlib.import_module(name)
    program = _fork_for_each_request()
    own = sys.modules["__main__"] = ModuleType("__main__")
    exec(compile(program, "<string>", "exec"), own.__dict__)


if __name__ == "__main__":
    _main()
