"""pipeline/serve.py: a server on loopback gives what the exported model gives, and loses nothing through reloads."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.data import DataConfig, open_dataset
from pipeline.serve import main
from pipeline.serving.server_config import ServeConfig, chosen_format
from tests.pipeline.evaluation.conftest import write_export

PROJECT = Path(__file__).parents[2]
FILES = ("model.pt", "vocabulary.bin", "model.json")  # in the order in which an export writes them


class Running:
    """A server in processes of its own, and the exports that it may be given."""

    def __init__(self, exports: list[Path], folder: Path) -> None:
        self.exports, self.folder = exports, folder
        self.give(0)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-W", "ignore", "-m", "pipeline.serve", str(folder), "--port", str(self.port)]
        command += ["--workers", "2", "--look-s", "0.1"]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        self.process = subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.ask("GET", "/health")
                return
            except OSError:
                time.sleep(0.2)
        raise AssertionError(self.process.stderr.read() if self.process.poll() is not None else "it does not answer")

    def give(self, number: int) -> None:
        """Put an export's files in the server's folder, each at once, as an export does."""
        for name in FILES:
            shutil.copy(self.exports[number] / name, self.folder / f"{name}.new")
            os.replace(self.folder / f"{name}.new", self.folder / name)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body if isinstance(body, bytes | None) else json.dumps(body))
        answer = connection.getresponse()
        contents = answer.read()
        connection.close()
        is_json = answer.headers["content-type"] == "application/json"
        return answer.status, json.loads(contents) if is_json else contents.decode()

    def examples(self, number: int) -> list[dict[str, Any]]:
        """Raw rows with an export's probabilities."""
        return json.loads((self.exports[number] / "model.json").read_text())["raw_rows"]["examples"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of an export's files alone; a second export is at hand."""
    exports = []
    for seed in range(2):
        run = tmp_path_factory.mktemp("run")
        write_export(run, open_dataset(DataConfig(rows=2_000, seed=seed, max_table_rows=300), str(run / "data")))
        exports.append(run)
    server = Running(exports, tmp_path_factory.mktemp("served"))
    yield server
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0


def wait_for(running: Running, number: int) -> None:
    """Until every process serves an export."""
    wanted = json.loads((running.exports[number] / "model.json").read_text())["model"]["sha256"]
    deadline, same = time.monotonic() + 120, 0
    while same < 40:  # a connection each, shared among the processes
        assert time.monotonic() < deadline, running.ask("GET", "/health")
        same = same + 1 if running.ask("GET", "/health")[1]["sha256"] == wanted else 0
        time.sleep(0.02)


@pytest.mark.slow
def test_scores_are_the_exports(running: Running) -> None:
    """Of one row, and of a list of them in its order, within 1e-6."""
    running.give(0)
    wait_for(running, 0)
    examples = running.examples(0)
    expected = [one["probability"] for one in examples]
    status, found = running.ask("POST", "/score", [one["row"] for one in examples] * 100)
    assert status == 200 and [one["probability"] for one in found] == pytest.approx(expected * 100, abs=1e-6)
    for one in examples:
        status, found = running.ask("POST", "/score", one["row"])
        assert status == 200 and found["probability"] == pytest.approx(one["probability"], abs=1e-6)
    assert running.ask("POST", "/score", []) == (200, [])


@pytest.mark.slow
def test_hostile_rows_and_requests(running: Running) -> None:
    """A row that is none is its own error beside rows that are scored; alone it is status 422; a body that is no JSON
    is 400, one too large 413, another path 404; and the server goes on."""
    (good, *_) = (one["row"] for one in running.examples(0))
    integer, category = "int_0", "cat_0"
    hostile = [
        {**good, integer: "many"},
        {**good, integer: 10**400},
        {**good, category: ["a"]},
        {**good, category: 5},
        {**good, category: "\ud800"},
        {name: value for name, value in good.items() if name != category},
        None,
        3,
        "row",
        [good],
    ]
    status, found = running.ask("POST", "/score", [row for bad in hostile for row in (good, bad)])
    assert status == 200 and all("probability" in one for one in found[::2])
    assert all(set(one) == {"error"} and len(one["error"]) < 300 for one in found[1::2])
    for row in [*hostile[:-1], 0.5]:
        assert running.ask("POST", "/score", json.dumps(row).encode())[0] == 422
    assert running.ask("POST", "/score", {**good, category: "x" * 2**20, integer: None})[0] == 200
    assert running.ask("POST", "/score", {**good, integer: float("nan")})[0] == 200
    (one, other) = running.ask("POST", "/score", b'[{"%s": "\xff"}, 1]' % category.encode())[1]
    assert "error" in one and "error" in other
    for body, expected in ((b"", 400), (b"[" * 10_000, 400), (b"\xff\x00", 400), (b"1" * 40_000_000, 413)):
        try:
            assert running.ask("POST", "/score", body)[0] == expected
        except ConnectionError:
            assert expected == 413  # it hung up while the body was on its way
    assert running.ask("GET", "/score")[0] == running.ask("POST", "/", b"")[0] == 404
    assert running.ask("GET", "/health")[0] == 200 and running.process.poll() is None


@pytest.mark.slow
def test_metrics(running: Running) -> None:
    """They count the rows of all processes, by outcome."""

    def rows() -> dict[str, float]:
        lines = running.ask("GET", "/metrics")[1].splitlines()
        found = [line.split() for line in lines if line.startswith("ctr_rows_total")]
        return {name.split('"')[1]: float(value) for name, value in found}

    before, row = rows(), running.examples(0)[0]["row"]
    for _ in range(20):
        running.ask("POST", "/score", [row, row, None])
    after = rows()
    assert {name: after[name] - before.get(name, 0) for name in after} == {"scored": 40, "error": 20}


@pytest.mark.slow
def test_reloads_under_load_lose_nothing(running: Running) -> None:
    """While clients ask over connections that they keep, the files change several times between two exports, and once
    to what is none, which is passed over: each answer is status 200 and one of the two models', and no connection
    breaks."""
    row = running.examples(0)[0]["row"]
    running.give(1)
    wait_for(running, 1)
    second = running.ask("POST", "/score", row)[1]["probability"]
    running.give(0)
    wait_for(running, 0)
    allowed = [running.ask("POST", "/score", row)[1]["probability"], second]
    assert abs(allowed[0] - allowed[1]) > 1e-4
    answers, stop = list[tuple[int, float]](), threading.Event()

    def ask_on() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
        while not stop.is_set():
            connection.request("POST", "/score", json.dumps(row))
            answer = connection.getresponse()
            answers.append((answer.status, json.loads(answer.read()).get("probability")))

    clients = [threading.Thread(target=ask_on) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        for number in (1, 0, 1):
            running.give(number)
            wait_for(running, number)
        (running.folder / "model.json").write_text("{}")
        deadline = time.monotonic() + 60
        while not running.ask("GET", "/health")[1]["problem"]:
            assert time.monotonic() < deadline
        running.give(0)
        wait_for(running, 0)
    finally:
        stop.set()
        for client in clients:
            client.join(60)
    assert len(answers) > 100 and {status for status, _ in answers} == {200}
    assert {min((0, 1), key=lambda which: abs(allowed[which] - found)) for _, found in answers} == {0, 1}
    assert all(min(abs(found - one) for one in allowed) < 1e-6 for _, found in answers)


@pytest.mark.slow
def test_a_folder_without_an_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is one line, and status 1."""
    assert main([str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    message = "model.json cannot be read (No such file or directory); give the folder of an export"
    assert line == f"pipeline.serve: {tmp_path}/{message}"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "pickle"}, "format is 'pickle'; choose one of"),
        ({"port": 0}, "port is 0; it must be 1 to 65535"),
        ({"workers": -1}, "workers is -1; it must be at least 0"),
        ({"batch_rows": 0}, "batch_rows is 0; it must be at least 1"),
        ({"wait_ms": float("nan")}, "wait_ms is nan; it must be at least 0"),
        ({"body_mb": 0.0}, "body_mb is 0.0; it must be above 0"),
        ({"look_s": float("nan")}, "look_s is nan; it must be above 0"),
    ],
)
def test_wrong_settings(fields: dict[str, Any], message: str) -> None:
    """A ValueError naming the setting and the value."""
    with pytest.raises(ValueError, match=message):
        ServeConfig("runs/mine", **fields)


def test_the_format_that_is_served() -> None:
    """auto is pt2 where there is one; one by name has to be there."""
    assert chosen_format("auto", ("torchscript", "onnx", "pt2")) == "pt2"
    assert chosen_format("onnx", ("torchscript", "onnx")) == "onnx"
    with pytest.raises(ValueError, match=r"the export has \['torchscript'\]"):
        chosen_format("onnx", ("torchscript",))
