"""Architecture files: read in both formats, refused with file, block and field."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy
import pytest

from modules.space import NASREC_FULL, NASREC_SMALL, single_operator_any_connection
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
    names = {"fc": 0, "dot_product": 1, "sigmoid_gating": 2, "sum": 3, "attention": 4, "efc": 5}
    micro = [
        {
            "active_nodes": sorted(names[one.name] for one in block.dense_operators + block.sparse_operators),
            "dense_in_dims": block.dense_width,
            "sparse_in_dims": block.sparse_width,
            "dense_sparse_interact": int(block.dense_to_sparse is not None),
            "deep_fm": int(block.sparse_to_dense is not None),
        }
        for block in ARCHITECTURE.blocks
    ]
    macro = [
        {
            "dense_idx": list(reversed(block.dense_inputs)),
            "sparse_idx": list(block.sparse_inputs),
            "dense_left_idx": [block.left],
            "dense_right_idx": [block.right],
        }
        for block in ARCHITECTURE.blocks
    ]
    path = written(tmp_path / "theirs.json", {"micro": micro, "macro": macro, "num_blocks": 7, "config": "xlarge"})
    assert read_architectures([path], NASREC_FULL) == {"theirs": ARCHITECTURE}


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
