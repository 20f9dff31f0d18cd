"""examples/serve_cpp: the program in C++ gives what Python gives, row by row, and an error where Python has one."""

import csv
import dataclasses
import io
import json
import random
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from pipeline.data import DataConfig, open_dataset
from pipeline.data.numbering import numbering
from pipeline.data.schema import Schema
from pipeline.serving.names import ExportFiles, FurtherFormat
from pipeline.serving.raw_rows import RawRows, RowError, text_hash
from tests.pipeline.evaluation.conftest import write_export
from tests.pipeline.serving.test_raw_rows import SCHEMA as PLAIN

SOURCE = Path(__file__).parents[2] / "examples" / "serve_cpp"
SCHEMA = dataclasses.replace(
    PLAIN, columns=("bought", "when", "price", "weight", "user", "item", "hour"), timestamp="when"
)
KNOWN = ("pen", "ink", "ü", "")
VALUES: tuple[tuple[str, ...], ...] = (
    ("0", "1", "", "x"),
    ("2024-05-01", "", "never"),
    ("3", "-7", "", " 12 ", "+5", "12x", "18446744073709551615", "18446744073709551616", "9" * 30, "1.0", "0", "-"),
    ("0.5", "-1e3", "", " .5", "nan", "-INF", "1e400", "1e-400", "one", "1e", ".", "+", "0x10", "Infinity", "3."),
    ("7", "-7", "", "-9223372036854775808", "-9223372036854775809", "18446744073709551615", "u", "007"),
    ("pen", "ink", "ü", "", "eight888", "x" * 1_000_000, "longer than eight", "\x00", "🙂", 'a "b", c', "nine99999"),
    ("14102107", "-3", "", "2014-10-21", "5", "99999999999999999999"),
)
"""Of each column of a line, values good and bad."""


class Told(nn.Module):
    """A model whose answer [B] tells any two encodings apart."""

    def forward(self, dense: Tensor, ids: Tensor) -> Tensor:
        """[B]."""
        weights = 1.0 + 0.37 * torch.arange(ids.size(1), dtype=torch.float64)
        return ((dense.double() * 1.7).sum(1) + (ids.double() * weights).sum(1)).float()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built with what is installed."""
    for tool in ("cmake", "g++"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}")
    build = tmp_path_factory.mktemp("build")
    prefix = f"-DCMAKE_PREFIX_PATH={torch.utils.cmake_prefix_path}"
    configured = subprocess.run(["cmake", "-S", SOURCE, "-B", build, prefix], capture_output=True, text=True)
    if "nlohmann_jsonConfig.cmake" in configured.stderr:
        pytest.skip("nlohmann-json is not installed (apt install nlohmann-json3-dev)")
    assert configured.returncode == 0, configured.stderr
    built = subprocess.run(["cmake", "--build", build], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert f"{SOURCE}/" not in built.stderr, f"warnings: {built.stderr}"
    return build / "serve_cpp"


def scored(program: Path, model: Path, lines: Sequence[bytes]) -> list[str]:
    """What it prints for the lines."""
    rows = model.with_name("rows.txt")
    rows.write_bytes(b"".join(line + b"\n" for line in lines))
    ended = subprocess.run([program, model, rows], capture_output=True)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout.decode().splitlines()


def write_told(folder: Path, schema: Schema, with_vocabulary: bool) -> Path:
    """`Told` with a model.json, numbered by hashes or, but for a folded table, by a vocabulary."""
    rules: dict[str, Any] = numbering(schema, None, "")
    files: dict[str, Any] = {"code": None, "vocabulary": None, "vocabulary_values": {}, "examples": []}
    if with_vocabulary:
        rules |= {"kind": "vocabulary", "unknown_category_row": 1}
        contents, files["vocabulary_values"] = b"", {"item": 3, "user": 2}
        for keys in ([text_hash(value.encode()) for value in KNOWN[:3]], [7, 2**64 - 7]):
            contents += numpy.array(sorted(keys), "<u8").tobytes()
            contents += numpy.arange(2, 2 + len(keys)).astype("<i4").tobytes()
        (folder / "vocabulary.bin").write_bytes(contents)
        files["vocabulary"] = {"file": "vocabulary.bin", "sha256": "", "bytes": len(contents)}
    document = {
        "schema": schema.to_json(),
        "numbering": rules,
        "inputs": [{}, {"table_rows": [97, 11, 25], "places": list(schema.id_places)}],
        "raw_rows": files,
    }
    (folder / "model.json").write_text(json.dumps(document))
    torch.jit.save(torch.jit.script(Told()), folder / "model.pt")
    return folder / "model.pt"


def expected(model: Path, lines: Sequence[bytes], header: Sequence[str] = ()) -> list[float | None]:
    """What Python makes of the lines; None of one that is an error."""
    rows, loaded, found = RawRows.load(model.with_suffix(".json")), torch.jit.load(model), list[float | None]()
    for line in lines:
        try:
            dense, ids = rows.encode(rows.parse(line, header))
            found.append(float(loaded(torch.tensor([dense]), torch.tensor([ids]))))
        except RowError:
            found.append(None)
    return found


def assert_same(printed: Sequence[str], expected: Sequence[float | None]) -> None:
    """A line for each row: the number within 1e-6, or an error."""
    assert len(printed) == len(expected)
    for number, (line, value) in enumerate(zip(printed, expected, strict=True)):
        if value is None:
            assert line.startswith("error: ") and len(line) < 300, (number, line)
        else:
            assert float(line) == pytest.approx(value, rel=1e-6, abs=1e-6), (number, line, value)


def random_lines(delimiter: str, columns: int) -> list[bytes]:
    """Lines with a good or a bad value in each column, and lines that are none."""
    draw, lines = random.Random(0), list[bytes]()
    for _ in range(3_000):
        values = [draw.choice(one if draw.random() < 0.15 else one[:2]) for one in VALUES]
        text = io.StringIO()
        if delimiter == ",":
            csv.writer(text, lineterminator="").writerow(values[-columns:])
        lines.append((text.getvalue() or delimiter.join(values[-columns:])).encode())
    broken = [b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", "ü".encode()]
    lines += [line.replace(b"pen", bad) for line, bad in zip(lines, broken, strict=False)]
    join = delimiter.encode()
    return [*lines, b"", join, join * 100, b"\x00" * 50, b"1" * 1_000_000, b'"' + b"y" * 200_000, b'a"b,"c""d"e,f\r']


@pytest.mark.slow
@pytest.mark.parametrize("with_vocabulary", [False, True], ids=["hash", "vocabulary"])
@pytest.mark.parametrize("columns", [7, 5], ids=["with label", "without"])
def test_lines_good_and_bad(program: Path, tmp_path: Path, with_vocabulary: bool, columns: int) -> None:
    """Numbers of any size and form, text of any length and bytes, missing values, too few columns and too many: the
    same answer as Python's for each, or an error where Python has one; never a crash."""
    model, lines = write_told(tmp_path, SCHEMA, with_vocabulary), random_lines("\t", columns)
    found = expected(model, lines)
    assert 500 < sum(value is None for value in found) < 2_500
    assert_same(scored(program, model, lines), found)


@pytest.mark.slow
def test_lists(program: Path, tmp_path: Path) -> None:
    """Text of several values is a list: its first values, those that are missing left out."""
    schema = dataclasses.replace(SCHEMA, lists=("item",), list_separator="|", max_list_values=(3,))
    model = write_told(tmp_path, schema, False)
    items = ["", "|", "||", "pen", "pen|ink", "|pen||ink|", "a|b|c|d", "ü|pen", "|" * 100_000, "x" * 100_000 + "|y"]
    lines = ["\t".join(("1", "", "3", "0.5", "7", item, "14102107")).encode() for item in items]
    found = expected(model, lines)
    assert len(set(found)) == 6 and None not in found
    assert_same(scored(program, model, lines), found)


@pytest.mark.slow
def test_quoted_lines_with_a_header(program: Path, tmp_path: Path) -> None:
    """Files with commas quote as Python's csv module reads it, and name their columns, in any order."""
    schema = dataclasses.replace(SCHEMA, delimiter=",", columns=())
    header = list(SCHEMA.columns)
    model, lines = write_told(tmp_path, schema, False), random_lines(",", 7)
    assert_same(scored(program, model, [",".join(header).encode(), *lines]), expected(model, lines, header))
    order = [3, 6, 0, 2, 5, 1, 4]
    fields = next(csv.reader([lines[0].decode()]))
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([fields[column] for column in order])
    names = ",".join(header[column] for column in order)
    printed = scored(program, model, [names.encode(), text.getvalue().encode()])
    assert_same(printed, expected(model, lines[:1], header))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.pt", "model.pt2", "mapped"])
def test_an_export(program: Path, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """The raw test rows of a log as lines: the exported model's probabilities within 1e-6, from either format, and with
    tables mapped from a file of their own."""
    folder = tmp_path_factory.mktemp("run")
    dataset = open_dataset(DataConfig(rows=3_000, max_table_rows=300), str(folder / "data"))
    further: tuple[FurtherFormat, ...] = ("pt2",) if name == "model.pt2" else ()
    write_export(folder, dataset, ExportFiles(further=further, mapped=name == "mapped"))
    is_mapped, name = name == "mapped", "model.pt" if name == "mapped" else name
    raw, columns = dataset.raw_rows("test", 1_500), dataset.schema.columns
    rows = [["0" if column == dataset.schema.label else row[column] for column in columns] for row in raw]
    lines = ["\t".join("" if value is None else str(value) for value in row).encode() for row in rows]
    (batch,) = list(dataset.stream("test", len(raw), drop_last=False))[:1]
    with torch.no_grad():
        loaded = torch.jit.load(folder / "model.pt")
        if is_mapped:
            loaded.map_tables(str(folder / "model.tables"))
        found = loaded(batch.dense, batch.ids).tolist()
    assert_same(scored(program, folder / name, [*lines, b"no row"]), [*found, None])


@pytest.mark.slow
def test_what_cannot_be_read(program: Path, tmp_path: Path) -> None:
    """A model or a file that is not there, or is none, is one line and status 1."""
    model = write_told(tmp_path, SCHEMA, False)
    (tmp_path / "broken").mkdir()
    for name in ("model.pt", "model.json"):
        shutil.copy(tmp_path / name, tmp_path / "broken" / name)
    (tmp_path / "broken" / "model.pt").write_bytes(b"no model")
    for arguments in (
        [model, "none.tsv"],
        [tmp_path / "none.pt", model],
        [tmp_path / "broken" / "model.pt", model],
        [],
    ):
        ended = subprocess.run([program, *arguments], capture_output=True, text=True)
        assert ended.returncode == 1 and ended.stdout == "" and len(ended.stderr) > 10
