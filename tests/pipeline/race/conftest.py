"""A session on a small generated log, without any stage done."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import ModelConfig, RunConfig, SupernetConfig
from pipeline.data import DataConfig
from pipeline.race.config import RaceConfig
from pipeline.run.processes import join
from pipeline.run.records.recipe import TrainingRecipe
from pipeline.session import Session, open_session

RACE = RaceConfig(
    generations=1,
    handmade=("dlrm", "logistic_regression"),
    from_supernet=0,
    random=2,
    children=2,
    finalists=1,
    handmade_finalists=1,
    tuning_trials=1,
    recipe=TrainingRecipe(batch_size=64, table_learning_rate=1.6, table_prior_count=128.0),
    workers=1,
)


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a generated log of 1,000 rows."""
    runs = tmp_path_factory.mktemp("log")
    with join("cpu") as processes, open_session(config(runs), processes):
        return runs


def config(runs: Path) -> RunConfig:
    """A race's configuration that takes a second."""
    return RunConfig(
        run="race",
        runs=str(runs),
        data=DataConfig(rows=1_000, max_table_rows=60),
        model=ModelConfig(embedding_width=4),
        supernet=SupernetConfig(batch_size=64),
        race=RACE,
    )


@pytest.fixture
def session(log: Path, tmp_path: Path) -> Iterator[Session]:
    """An open session on a copy of it."""
    shutil.copytree(log, tmp_path / "runs")
    with join("cpu") as processes, open_session(config(tmp_path / "runs"), processes) as opened:
        yield opened
