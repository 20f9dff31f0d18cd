"""Architecture files: read in both formats, refused with file, block and field."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy
import pytest

from modules.space import NASREC_FULL, NASREC_SMALL, OPEN, single_operator_any_connection, to_nasrec_json
from pipeline.run.architecture_files import read_architectures

ARCHITECTURE = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(0))


def written(path: Path, data: Any) -> str:
    """The path of a JSON file with this content."""
    path.write_text(json.dumps(data))
    return str(path)


def test_reads_what_to_json_wrote(tmp_path: Path) -> None:
    """Architectures come back by their files' names."""
    path = written(tmp_path / "mine.json", ARCHITECTURE.to_json())
    assert read_architectures([path], NASREC_FULL) == {"mine": ARCHITECTURE}


def test_reads_nasrec_files(tmp_path: Path) -> None:
    """A file of the authors' format is recognized by its keys."""
    path = written(tmp_path / "theirs.json", to_nasrec_json(ARCHITECTURE, NASREC_FULL))
    assert read_architectures([path], NASREC_FULL) == {"theirs": ARCHITECTURE}


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        (
            "micro",
            "active_nodes",
            [-1, 5],
            r"block 3, micro\[2\]\.active_nodes: found \[-1, 5\], expected a list of one of",
        ),
        ("micro", "active_nodes", [0, 1, 5], r"block 3, micro\[2\]\.active_nodes: found \[0, 1, 5\], .* one of"),
        (
            "micro",
            "dense_sparse_interact",
            True,
            r"block 3, micro\[2\]\.dense_sparse_interact: found true, expected one",
        ),
        ("micro", "dense_in_dims", 16.0, r"block 3, micro\[2\]\.dense_in_dims: found 16\.0, expected one of \[16, 32"),
        ("macro", "sparse_idx", [3], r"block 3, macro\[2\]\.sparse_idx: found \[3\], expected .* of \[0, 1, 2\]"),
    ],
)
def test_wrong_nasrec_files_are_named(tmp_path: Path, part: str, key: str, value: Any, message: str) -> None:
    """No id of a node, several nodes, true for 1, a float, a later output: file, block, field, and what is allowed."""
    data = to_nasrec_json(ARCHITECTURE, NASREC_FULL)
    data[part][2][key] = value
    with pytest.raises(ValueError, match=rf"theirs\.json: {message}"):
        read_architectures([written(tmp_path / "theirs.json", data)], NASREC_FULL)


def test_other_mistakes_in_nasrec_files(tmp_path: Path) -> None:
    """A file of which half is missing, one of another space than the run's, and a key that stands twice."""
    data = to_nasrec_json(ARCHITECTURE, NASREC_FULL)
    half = written(tmp_path / "half.json", {key: value for key, value in data.items() if key != "micro"})
    with pytest.raises(ValueError, match=r"half\.json: the file: missing keys \['micro'\], unknown keys \[\]"):
        read_architectures([half], NASREC_FULL)
    path = written(tmp_path / "theirs.json", data)
    for space in (NASREC_SMALL, OPEN):
        message = rf"theirs\.json: config: found 'xlarge', .* nasrec_full; this run searches {space.name}, and block"
        with pytest.raises(ValueError, match=message):
            read_architectures([path], space)
    twice = json.dumps(data).replace('"num_blocks": 7', '"num_blocks": 8, "num_blocks": 7')
    (tmp_path / "twice.json").write_text(twice)
    with pytest.raises(ValueError, match=r"twice\.json: an object has the keys \['num_blocks'\] twice"):
        read_architectures([str(tmp_path / "twice.json")], NASREC_FULL)


@pytest.mark.parametrize(
    ("block", "field", "value", "message"),
    [
        (2, "dense_inputs", [0, 5], r"wrong\.json: block 3, dense_inputs: \[0, 5\].*may read outputs 0 to 2"),
        (1, "dense_operators", ["conv"], r"wrong\.json: block 2, dense_operators: unknown operator 'conv'"),
        (6, "dense_width", 100, r"wrong\.json: block 7, dense_width: 100 is outside nasrec_full"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, block: int, field: str, value: Any, message: str) -> None:
    """A later input, an unknown operator, a width outside the space: file, block, field, value."""
    data = copy.deepcopy(ARCHITECTURE.to_json())
    data["blocks"][block][field] = value
    with pytest.raises(ValueError, match=message):
        read_architectures([written(tmp_path / "wrong.json", data)], NASREC_FULL)


def test_other_mistakes(tmp_path: Path) -> None:
    """A missing file, broken JSON, another space's operators and two files of one name are errors."""
    with pytest.raises(ValueError, match="no such file"):
        read_architectures([str(tmp_path / "absent.json")], NASREC_FULL)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        read_architectures([str(tmp_path / "broken.json")], NASREC_FULL)
    path = written(tmp_path / "mine.json", ARCHITECTURE.to_json())
    with pytest.raises(ValueError, match=r"unknown operator .*; nasrec_small has"):
        read_architectures([path], NASREC_SMALL)
    with pytest.raises(ValueError, match="called mine too"):
        read_architectures([path, path], NASREC_FULL)
