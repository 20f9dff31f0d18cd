"""The run folder: one configuration, one format, one writer."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import FREE_FIELDS, RunConfig, quick
from pipeline.run.folder import RunFolder, _flat, plain
from pipeline.run.records.codec import RUN_FORMAT

CONFIG: dict[str, Any] = {"run": "a", "runs": "here", "data": {"rows": 100, "path": ""}, "seed": 0}


def test_a_folder_belongs_to_one_configuration(tmp_path: Path) -> None:
    """Claimed again with the same settings nothing happens; others are refused, each differing field with both values,
    fields that only one side has among them; the folder keeps its configuration."""
    run = RunFolder(tmp_path)
    run.claim(CONFIG, frozenset())
    run.claim(json.loads(json.dumps(CONFIG)), frozenset())
    other = {**CONFIG, "data": {"rows": 200, "days": 7}, "seed": 1}
    with pytest.raises(ValueError, match=f"{tmp_path} holds a run of another configuration") as raised:
        run.claim(other, frozenset())
    lines = str(raised.value).splitlines()[1:-1]
    assert lines == [
        "  data.days: None there, 7 here",
        "  data.path: '' there, None here",
        "  data.rows: 100 there, 200 here",
        "  seed: 0 there, 1 here",
    ]
    assert "--run" in str(raised.value)
    assert json.loads(run.config.read_text()) == {"format": RUN_FORMAT, **CONFIG}


def test_free_fields_may_differ(tmp_path: Path) -> None:
    """Where the runs lie and the device do not change what is computed."""
    run = RunFolder(tmp_path)
    run.claim(CONFIG, FREE_FIELDS)
    run.claim({**CONFIG, "runs": "there", "device": "cuda"}, FREE_FIELDS)
    assert json.loads(run.config.read_text())["runs"] == "here"


def test_check_writes_nothing(tmp_path: Path) -> None:
    """A folder that is not there is nobody's."""
    RunFolder(tmp_path / "new").check(CONFIG, frozenset())
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_another_version_is_refused(tmp_path: Path) -> None:
    """A config.json without a format version, though its settings are the same, is refused in one line; nothing in the
    folder changes."""
    run = RunFolder(tmp_path)
    run.config.write_text(json.dumps(CONFIG))
    with pytest.raises(
        ValueError, match=r"begun with another version .*: config\.json has no format version"
    ) as raised:
        run.claim(CONFIG, frozenset())
    assert "\n" not in str(raised.value) and "--run" in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert json.loads(run.config.read_text()) == CONFIG


def test_a_broken_config_is_named(tmp_path: Path) -> None:
    """config.json that is no JSON is an error naming it."""
    (tmp_path / "config.json").write_text('{"run": ')
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'config.json'}: not JSON at line 1")):
        RunFolder(tmp_path).claim(CONFIG, frozenset())


@settings(max_examples=25)
@given(st.recursive(st.integers() | st.text(), lambda inner: st.dictionaries(st.text("ab", min_size=1), inner)))
def test_flat_keeps_every_value(tree: Any) -> None:
    """Each leaf under its dotted path."""
    for path, value in _flat(tree).items():
        found = tree
        for key in path.split(".") if path else []:
            found = found[key]
        assert found == value


def test_plain_configurations_survive_json() -> None:
    """What is written equals what would be written again: a configuration equals itself, and named runs differ."""
    for config in (RunConfig(), quick()):
        assert json.loads(json.dumps(plain(config))) == plain(config)
    assert plain(RunConfig()) != plain(quick())


HOLDER = """
import sys, time
from pathlib import Path
from pipeline.run.folder import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_one_writer(tmp_path: Path) -> None:
    """While a process holds the folder, another is refused and told which it is; after SIGKILL it is free at once, and
    the partial files that the killed one left are gone."""
    run = RunFolder(tmp_path / "run")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(run.path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "locked\n"
    with (
        pytest.raises(ValueError, match=rf"run is being written by another process \(pid {holder.pid} on .*\): wait"),
        run.locked(),
    ):
        pass
    run.checkpoints("retrain/winner_1").mkdir(parents=True)
    left = [
        run.path / "winners.json.tmp-77",
        run.path / "model.pt.tmp-abc" / "skeleton.pt",
        run.checkpoints("supernet") / "partial_00000003" / "rank_00000.tensors",
        run.checkpoints("retrain/winner_1") / "partial_00000003" / "rank_00000.tensors",
        run.data / "generated" / "day_1.parquet.tmp-77",
    ]
    kept = [run.winners, run.checkpoints("supernet") / "step_00000002" / "rank_00000.tensors", run.config]
    for path in left + kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    with run.locked():
        assert not any(path.exists() for path in left)
        assert not any(path.parent.exists() for path in left[1:4])
        assert all(path.exists() for path in kept)
        assert run.lock.read_text().startswith(f"pid {os.getpid()} on ")


def test_a_folder_that_nobody_claimed_goes_again(tmp_path: Path) -> None:
    """A start that fails before it claims the folder leaves none behind, unless something else lies in it."""
    run = RunFolder(tmp_path / "new")
    with pytest.raises(ValueError, match="no data"), run.locked():
        raise ValueError("no data")
    assert list(tmp_path.iterdir()) == []
    with run.locked():
        (run.path / "precious").touch()
    assert [path.name for path in run.path.iterdir()] == ["precious"]
    with run.locked():
        run.claim(CONFIG, frozenset())
    assert sorted(path.name for path in run.path.iterdir()) == ["config.json", "lock", "precious"]


def test_timings_add_up(tmp_path: Path) -> None:
    """A stage's time is the sum over restarts; a stage that fails adds nothing; stages do not mix."""
    run = RunFolder(tmp_path)
    with run.timed("a"):
        pass
    first = json.loads(run.timings.read_text())["stages"]["a"]
    run.timings.write_text(json.dumps({"format": RUN_FORMAT, "stages": {"a": {**first, "wall_s": 100.0}}}))
    with pytest.raises(ValueError, match="stopped"), run.timed("a"):
        raise ValueError("stopped")
    with run.timed("a"), run.timed("b"):
        pass
    stages = json.loads(run.timings.read_text())["stages"]
    assert stages["a"]["wall_s"] >= 100 and stages["b"]["wall_s"] < 100 and stages["a"]["peak_gb"] > 0.01
