"""pipeline/training/planned_tables.py: a plan is made once, and again when what it depends on has changed."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torchrec import EmbeddingBagConfig

from modules import cluster, table_plan
from pipeline.run.folder import RunFolder
from pipeline.run.processes import join
from pipeline.training import planned_tables
from pipeline.training.planned_tables import in_words, planned

TABLES = [
    EmbeddingBagConfig(name=f"t_{field}", feature_names=[field], num_embeddings=20, embedding_dim=4) for field in "uv"
]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[table_plan.Request]:
    """What was asked of the planner."""
    asked = []

    def counted(request: table_plan.Request) -> table_plan.TablePlan:
        asked.append(request)
        return table_plan.plan_tables(request)

    monkeypatch.setattr(planned_tables, "plan_tables", counted)
    return asked


def ask(folder: Path, tables: list[EmbeddingBagConfig] = TABLES, batch_size: int = 8) -> table_plan.TablePlan:
    """A plan as a training of one process in the folder gets it."""
    with join("cpu") as processes:
        session: Any = SimpleNamespace(processes=processes, folder=RunFolder(folder), say=print)
        return planned(session, tables, batch_size, prefetched=True)


def test_planned_once(tmp_path: Path, made: list[table_plan.Request]) -> None:
    """The second time it is read; other tables and other batches have plans beside it."""
    first = ask(tmp_path)
    assert ask(tmp_path) == first and len(made) == 1
    ask(tmp_path, TABLES[:1])
    ask(tmp_path, batch_size=16)
    assert ask(tmp_path) == first and len(made) == 3
    assert len(list((tmp_path / "plans").iterdir())) == 3


@pytest.mark.parametrize(
    ("change", "value"),
    [("world_size", 2), ("local_world_size", 2), ("device", "cuda"), ("host_bytes", 10**9), ("device_bytes", 1)],
)
def test_a_stale_plan_is_made_again(tmp_path: Path, made: list[table_plan.Request], change: str, value: Any) -> None:
    """A plan for other ranks, nodes, devices or memory is not used, but replaced."""
    first = ask(tmp_path)
    (path,) = (tmp_path / "plans").iterdir()
    document = json.loads(path.read_text())
    document["request"]["cluster"][change] = value
    path.write_text(json.dumps(document))
    assert ask(tmp_path) == first and len(made) == 2
    assert ask(tmp_path) == first and len(made) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: text.replace('"torchrec": "', '"torchrec": "0.'),
        lambda text: text.replace('"rank": 0', '"rank": 7', 1),
        lambda text: text.replace('"first_row": 0', '"first_row": 3', 1),
        lambda text: text.replace('"table_wise"', '"column_wise"', 1),
        lambda text: "[]",
    ],
)
def test_a_damaged_plan_is_made_again(tmp_path: Path, made: list[table_plan.Request], damage: Any) -> None:
    """Whatever the file holds, what is used is a plan of this version with every row on a rank that there is."""
    first = ask(tmp_path)
    (path,) = (tmp_path / "plans").iterdir()
    path.write_text(damage(path.read_text()))
    assert ask(tmp_path) == first and len(made) == 2


def test_tables_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planner's failure is the user's one line, and leaves no file."""
    monkeypatch.setattr(cluster, "_node_bytes", lambda: 1000)
    with pytest.raises(ValueError, match="the embedding tables do not fit"):
        ask(tmp_path)
    assert not (tmp_path / "plans").exists()


def test_in_words(tmp_path: Path) -> None:
    """How many tables lie how, and how full the fullest rank is."""
    assert in_words(ask(tmp_path)).startswith("2 table-wise; on 1 node(s) of 1 rank(s), of which the fullest holds ")
