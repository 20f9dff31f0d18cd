"""The command line: python -m pipeline.nasrec_file --run NAME."""

import dataclasses
from pathlib import Path

import numpy
import pytest

from modules.space import NASREC_FULL, single_operator_any_connection
from pipeline.nasrec_file import main
from pipeline.run.architecture_files import read_architectures
from pipeline.run.files import write_json
from pipeline.run.records.codec import RUN_FORMAT, write_record
from tests.pipeline.report.small_results import small_model, small_results

GENERATOR = numpy.random.default_rng(0)
BEST, OTHER = (
    dataclasses.replace(
        small_model(name, "searched", 0.45), architecture=single_operator_any_connection(NASREC_FULL, GENERATOR)
    )
    for name in ("best", "other")
)
HANDMADE = small_model("dlrm", "handmade", 0.46)


def write_run(folder: Path) -> None:
    """The files of a run that the program reads."""
    folder.mkdir()
    write_json(folder / "config.json", {"format": RUN_FORMAT, "model": {"space": "nasrec_full"}})
    write_record(folder / "results.json", small_results(BEST, (OTHER, 0.001), (HANDMADE, 0.001)))


def test_writes_a_file_that_is_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The best model's file, or another's: what it holds is that model's architecture."""
    write_run(tmp_path / "shop")
    other = tmp_path / "theirs.json"
    main(["--run", "shop", "--runs", str(tmp_path)])
    main(["--run", "shop", "--runs", str(tmp_path), "--model", "other", "--file", str(other)])
    paths = [str(tmp_path / "shop" / "nasrec.json"), str(other)]
    assert capsys.readouterr().out.split() == paths
    assert list(read_architectures(paths, NASREC_FULL).values()) == [BEST.architecture, OTHER.architecture]


def test_mistakes_end_with_one_line(tmp_path: Path) -> None:
    """No run, no such model, a hand-made one, one without results, and no folder to write in."""
    given = ["--run", "shop", "--runs", str(tmp_path)]
    with pytest.raises(SystemExit, match=r"error: .*shop: no config\.json"):
        main(given)
    write_run(tmp_path / "shop")
    with pytest.raises(
        SystemExit, match=r"error: model: 'absent' is no model of results\.json; choose .*searched/best"
    ):
        main([*given, "--model", "absent"])
    with pytest.raises(SystemExit, match="error: Dlrm: no NasRec file of configuration 'xlarge' can hold this"):
        main([*given, "--model", "dlrm"])
    with pytest.raises(SystemExit, match=r"error: .*absent.theirs\.json: there is no folder"):
        main([*given, "--file", str(tmp_path / "absent" / "theirs.json")])
    (tmp_path / "shop" / "results.json").unlink()
    with pytest.raises(SystemExit, match=r"error: .*results\.json does not exist; train the finalists first"):
        main(given)
