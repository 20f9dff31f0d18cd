"""The command line: python -m pipeline.report --run NAME."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.report.__main__ import main


@pytest.mark.slow
def test_writes_the_report_of_a_named_run(
    write_run: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report lies in the run's folder and its path is printed; the command shown is the one given, or this one."""
    folder = write_run(tmp_path / "shop", count=2)
    main(["--run", "shop", "--runs", str(tmp_path)])
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    assert "python -m pipeline.report --run shop" in (folder / "report.html").read_text()
    main(["--run", "shop", "--runs", str(tmp_path), "--command", "make search"])
    assert "<code>make search</code>" in (folder / "report.html").read_text()


def test_unknown_run(tmp_path: Path) -> None:
    """A run that is not there ends with one line that names the folder."""
    with pytest.raises(SystemExit, match=r"error: .*nowhere: no config\.json"):
        main(["--run", "nowhere", "--runs", str(tmp_path)])
