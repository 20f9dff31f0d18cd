"""A stranger's run folder, architecture file or record cannot run code, nor write or read outside its folder."""

import html.parser
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modules.space import OPEN
from pipeline.report import write_report
from pipeline.run.architecture_files import read_architecture
from pipeline.run.folder import RunFolder
from pipeline.run.records.codec import read_record
from pipeline.run.records.results import Results, retrain_stage
from pipeline.training.row_logits import RowLogits
from tests.pipeline.report.conftest import write_run
from tests.pipeline.run.test_tensor_files import Payload, pickled

PROJECT = Path(__file__).resolve().parents[2]


def planted_texts(made: Path) -> dict[str, str]:
    """Texts that run something where they are taken for code, by what would."""
    command = f"touch {made}"
    return {
        "python": f"__import__('os').system('{command}')",
        "yaml": f"!!python/object/apply:os.system ['{command}']",
        "json hint": json.dumps({"py/reduce": [{"py/function": "os.system"}, [command]]}),
        "template": "{{ cycler.__init__.__globals__.os.popen('" + command + "').read() }}",
        "shell": f"$({command}) `{command}`; {command}",
        "script": "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg/onload=alert(1)>",
        "mathematics": r"$\frac{$_^ \input{/etc/passwd}",
    }


KINDS = sorted(planted_texts(Path()))


@pytest.mark.parametrize("kind", KINDS)
def test_planted_architecture(tmp_path: Path, kind: str) -> None:
    """An architecture file that is such a text, or holds it in a field, is refused with the file's name."""
    made, path = tmp_path / "made", tmp_path / "given.json"
    text = planted_texts(made)[kind]
    for contents in (
        text,
        json.dumps(text),
        json.dumps({"blocks": text}),
        json.dumps({"micro": [text], "config": text}),
    ):
        path.write_text(contents)
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_architecture(str(path), OPEN)
    path.write_bytes(pickled(made))
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read_architecture(str(path), OPEN)
    assert not made.exists()


def test_planted_logits(tmp_path: Path) -> None:
    """A file of logits that holds pickled objects is refused."""
    import numpy

    path, made = tmp_path / "test_logits_of_1.npy", tmp_path / "made"
    numpy.save(path, numpy.array([Payload(made)], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        RowLogits.read(path)
    path.write_bytes(pickled(made))
    with pytest.raises(ValueError, match=re.escape(str(path))):
        RowLogits.read(path)
    assert not made.exists()


class Tags(html.parser.HTMLParser):
    """A page's tags, its attributes' names, what it fetches, and its scripts' text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.scripts, self.fetched = text, list[str](), list[str]()
        self.names, self.attributes, self._is_script = set[str](), set[str](), False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.fetched += [
            str(value) for name, value in attrs if name.endswith(("href", "src")) and not str(value).startswith("#")
        ]
        self._is_script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._is_script = False

    def handle_data(self, data: str) -> None:
        self.scripts += [data] if self._is_script else []


@pytest.mark.slow
def test_report_text_is_text(tmp_path: Path) -> None:
    """Such texts in every text field of every record that a report reads: the page holds them as text, loads nothing,
    has no script, no handler and no tag of theirs, and nothing ran."""
    made = tmp_path / "made"
    hostile = "".join(planted_texts(made).values())
    folder, clean_folder = write_run(tmp_path / "run", count=3), write_run(tmp_path / "clean" / "run", count=3)

    def plant(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: plant(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [plant(inner, key) for inner in value]
        # best names a title, title the key of its records; the others are free words
        return (
            f"{value}{hostile}" if key in {"title", "best", "origin", "label", "source", "failure", "path"} else value
        )

    for name in ("results.json", "race.json", "codesign.json", "config.json", "race.jsonl"):
        lines = (folder / name).read_text().splitlines() if name.endswith("l") else [(folder / name).read_text()]
        (folder / name).write_text("".join(json.dumps(plant(json.loads(line))) + "\n" for line in lines))
    page, clean = Tags(write_report(folder, hostile).read_text()), Tags(write_report(clean_folder, "").read_text())
    assert "&lt;script&gt;alert(1)" in page.text
    assert page.scripts == clean.scripts and page.names <= clean.names
    assert not [name for name in page.attributes if name.startswith("on")] and not page.fetched
    assert not made.exists()


NAMES = ["../../escaped", "..", "/etc", "a/../../b", ".", "", "a//b", "nul\0"]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_cannot_lead_out_of_its_folder(tmp_path: Path, name: str) -> None:
    """A model of results.json with such a name has no training stage: nothing is read or written for it."""
    with pytest.raises(ValueError, match="leads out of its folder"):
        RunFolder(tmp_path).checkpoints(retrain_stage("given", name, 0))


def test_the_name_is_read_as_it_is(tmp_path: Path) -> None:
    """results.json itself may hold it; the report shows it as text."""
    folder = write_run(tmp_path / "run", count=1)
    document = json.loads((folder / "results.json").read_text())
    document["models"][0]["name"] = NAMES[0]
    (folder / "results.json").write_text(json.dumps(document))
    from modules.space import NASREC_FULL

    found = read_record(folder / "results.json", Results, NASREC_FULL).models[0]
    with pytest.raises(ValueError, match="leads out of its folder"):
        RunFolder(folder).metrics(found.stages[0])


LINKS: dict[str, Callable[[Path, Path], None]] = {
    "lock": lambda run, outside: (run / "lock").symlink_to(outside / "file"),
    "candidates.jsonl": lambda run, outside: (run / "candidates.jsonl").symlink_to(outside / "file"),
    "checkpoints": lambda run, outside: (run / "checkpoints").symlink_to(outside),
    "a leftover": lambda run, outside: (run / "x.tmp-1").symlink_to(outside),
    "a broken one": lambda run, outside: (run / "data").symlink_to(outside / "nothing"),
}


@pytest.mark.parametrize("link", LINKS)
def test_links_are_refused(tmp_path: Path, link: str) -> None:
    """A run folder with a symbolic link in it is refused before anything is written; what it points to is as it was."""
    run, outside = tmp_path / "run", tmp_path / "outside"
    for folder in (run, outside, outside / "partial_00000001"):
        folder.mkdir()
    (outside / "file").write_text("mine")
    (outside / "partial_00000001" / "mine").write_text("mine")
    LINKS[link](run, outside)
    message = "is a symbolic link, and a run writes into its own folder only"
    with pytest.raises(ValueError, match=message), RunFolder(run).locked():
        raise AssertionError("the folder was opened")
    assert (outside / "file").read_text() == (outside / "partial_00000001" / "mine").read_text() == "mine"


UNSAFE = re.compile(
    r"pickle\.loads?\(|pickle\.Unpickler|marshal\.load|shelve\.open|yaml\.(load|unsafe_load|full_load)\(|\beval\(|\bexec\(|"
    r"allow_pickle=True|weights_only=False|torch\.jit\.load\(|torch\.load\(|dcp\.load\(|aoti_load_package\("
)
KNOWN = {
    # what this process has just written into a folder of its own, with mode 0700
    ("pipeline/serving/exported_model.py", "torch.jit.save(torch.jit.script(torch.load(source"),
    ("pipeline/serving/torchscript_model.py", 'scripted = torch.jit.load(target, map_location="c'),
    ("pipeline/serving/graph_formats.py", "model = torch.load(source, weights_only=False)"),
    ("pipeline/serving/bench.py", "run = torch._inductor.aoti_load_package(str(path)"),
    # a program for another process, and words of documentation
    ("pipeline/serving/verify.py", 'loaded = torch.jit.load(path, map_location="cpu")'),
    ("pipeline/serving/verify.py", "run = torch._inductor.aoti_load_package(path)"),
    ("pipeline/serving/graph_formats.py", 'model = torch._inductor.aoti_load_package("model.'),
    ("pipeline/serving/torchscript_model.py", 'model = torch.jit.load("model.pt")'),
    ("pipeline/serving/mapped_tables.py", 'model = torch.jit.load("model.pt")'),
    ("pipeline/serving/raw_rows.py", 'rows, model = RawRows.load("model.json"), torch.j'),
    # a model that its user asks to have run, and is told so
    ("pipeline/serving/served_model.py", "run = torch._inductor.aoti_load_package(str(file)"),
    ("pipeline/serving/served_model.py", "loaded: Any = torch.jit.load(str(file), map_locat"),
    ("pipeline/evaluation/exported.py", "network = torch.jit.load(str(path), map_location="),
    # through the reader of numbers
    ("pipeline/run/checkpoint.py", "dcp.load(without_empty(tensors), storage_reader=T"),
    ("pipeline/export.py", "dcp.load(wanted, storage_reader=TensorReader(chec"),
    ("pipeline/training/earlier_weights.py", "dcp.load({name: before}, storage_reader=TensorRea"),
}
"""(file, beginning of the line) of the product that may stand: each with its reason."""


def test_no_other_reader_can_run_code() -> None:
    """Every place of the product that calls a reader which can execute what it reads is one of those known."""
    found = set()
    for package in ("modules", "pipeline", "pim_codesign", "launch"):
        for path in (PROJECT / package).rglob("*.py"):
            for line in path.read_text().splitlines():
                if UNSAFE.search(line) and not re.search(r"\.eval\(\)", line):
                    found.add((str(path.relative_to(PROJECT)), line.strip()[:49]))
    assert found == KNOWN


@pytest.mark.slow
def test_a_module_in_the_run_folder_is_not_imported(tmp_path: Path) -> None:
    """Files called like Python's modules in a run folder, where a program is started, are not what it imports."""
    for name in ("json.py", "torch.py", "sitecustomize.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'made')!r}, 'w')")
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-P", "-c", "import pipeline.run.records.codec"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert not (tmp_path / "made").exists()
