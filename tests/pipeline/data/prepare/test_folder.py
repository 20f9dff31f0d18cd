"""pipeline/data/prepare/folder.py: a folder belongs to one preparation, and every raw file has a name of its own."""

from pathlib import Path

import pytest

from pipeline.data.prepare.config import PrepareConfig
from pipeline.data.prepare.folder import claim, raw_files, settings_of, target_names
from pipeline.data.schema import Schema
from pipeline.run.files import write_json

SETTINGS = {"numbering": "vocabulary", "min_count": 2}


def test_target_names() -> None:
    """Suffixes go; two files that would become one are refused with both names."""
    assert target_names(["a/day_0.tsv.gz", "a/day_1.zst", "s3://b/c.csv", "d"]) == ["day_0", "day_1", "c", "d"]
    with pytest.raises(ValueError, match=r"b/day_0.csv and a/day_0.gz would both become day_0-00000.parquet"):
        target_names(["a/day_0.gz", "b/day_0.csv"])


def test_raw_files(tmp_path: Path) -> None:
    """Text is found in order; Parquet is refused, as it needs no preparation."""
    for name in ("day_10.gz", "day_9.gz"):
        (tmp_path / name).write_bytes(b"x")
    assert [Path(file).name for file in raw_files(str(tmp_path))] == ["day_9.gz", "day_10.gz"]
    (tmp_path / "one.parquet").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"one.parquet: is Parquet, which can be trained on as it is"):
        raw_files(str(tmp_path / "one.parquet"))


def test_settings_change_with_what_results_depend_on(tmp_path: Path) -> None:
    """The raw files, the schema and the numbering are settings; how the work is shared out is not."""
    (tmp_path / "log").write_text("1\t2\n")
    schema = Schema("log", "y", (), ("a",), (9,), columns=("y", "a"))
    config = PrepareConfig(path=str(tmp_path / "log"), schema="log.json", folder="out")
    before = settings_of(config, schema, [str(tmp_path / "log")])
    shared = PrepareConfig(path=config.path, schema="log.json", folder="out", processes=3, replicas=2, replica=1)
    assert settings_of(shared, schema, [config.path]) == before
    counted = PrepareConfig(path=config.path, schema="log.json", folder="out", numbering="vocabulary")
    assert settings_of(counted, schema, [config.path]) != before
    (tmp_path / "log").write_text("1\t2\n0\t3\n")
    assert settings_of(config, schema, [config.path]) != before


def test_claim(tmp_path: Path) -> None:
    """The same settings may come again, before and after the end; other settings and other files are refused."""
    folder = tmp_path / "out"
    assert [claim(folder, SETTINGS), claim(folder, SETTINGS)] == [False, False]
    with pytest.raises(ValueError, match="was prepared or begun with other min_count"):
        claim(folder, {**SETTINGS, "min_count": 3})
    write_json(folder / "manifest.json", {"settings": SETTINGS})
    assert claim(folder, SETTINGS)
    with pytest.raises(ValueError, match="was prepared or begun with other min_count"):
        claim(folder, {**SETTINGS, "min_count": 3})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"mine: holds \['thesis.tex'\], which are not of a preparation"):
        claim(tmp_path / "mine", SETTINGS)
