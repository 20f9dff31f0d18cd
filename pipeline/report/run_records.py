"""A whole run's records, as the report needs them. Every file but config.json may be absent."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from modules.space import SPACES, InputShape, SearchSpace
from modules.space.search_space import space_of
from pipeline.data.schema import Schema
from pipeline.data.splits import SPLITS
from pipeline.data.time_split import DESCRIPTION, FOLDER
from pipeline.run.files import read_json
from pipeline.run.folder import RunFolder
from pipeline.run.records.candidates import Candidate, Winners, with_scores
from pipeline.run.records.codec import check_run_format, read_lines, read_record
from pipeline.run.records.codesign import Codesign
from pipeline.run.records.model_card import ModelCard
from pipeline.run.records.progress import MetricsLine, StageTiming, Timings
from pipeline.run.records.race import RaceResult, Trial
from pipeline.run.records.rank_study import RankStudy
from pipeline.run.records.recipe import numbers_read
from pipeline.run.records.results import Results
from pipeline.run.records.trees import Trees

T = TypeVar("T")


@dataclass(frozen=True)
class RunRecords:
    """Everything the report reads of a run; None or empty where the file is absent."""

    name: str
    """The run's name."""
    config: dict[str, Any]
    """config.json."""
    metrics: tuple[MetricsLine, ...]
    """metrics.jsonl of every training stage."""
    timings: dict[str, StageTiming]
    """timings.json, by stage."""
    candidates: tuple[Candidate, ...]
    """candidates.jsonl."""
    winners: Winners | None
    """winners.json."""
    trials: tuple[Trial, ...]
    """race.jsonl, in the order in which the race asked for them."""
    race: RaceResult | None
    """race.json."""
    rank_study: RankStudy | None
    """rank_study.json; only where the study was asked for."""
    results: Results | None
    """results.json."""
    trees: Trees | None
    """trees.json; only where the log is small enough for them."""
    codesign: Codesign | None
    """codesign.json."""
    schema: Schema | None
    """The data's schema, from model.json."""
    shape: InputShape | None
    """What a row gives the network, at the embedding width of config.json; known once model.json is there."""
    split_times: dict[str, tuple[str, str]]
    """First and last time of each split, of a log that was split by time."""
    missing: tuple[str, ...]
    """Names of the files that are absent."""

    @property
    def scored(self) -> tuple[Candidate, ...]:
        """The candidates that did not fail."""
        return with_scores(self.candidates)


def read_run(path: Path) -> RunRecords:
    """Read the run's folder.

    Raises ValueError for a folder that holds no run, for a run of another format, and for a broken file.
    """
    folder = RunFolder(path)
    if not folder.config.is_file():
        raise ValueError(f"{path}: no config.json there, so this is not a run's folder; give the folder of a run")
    config = read_json(folder.config)
    check_run_format(config, folder.config)
    space = _space(config, folder.config)
    card_path = folder.model.with_suffix(".json")
    card = _optional(card_path, ModelCard, space)
    timings = _optional(folder.timings, Timings, space)
    schema = None if card is None else Schema.from_json(card.schema, f"{card_path}, schema")
    metrics = folder.all_metrics()
    found = (folder.candidates, folder.winners, folder.race_trials, folder.race)
    files = (*found, folder.results, folder.codesign, card_path)
    return RunRecords(
        name=path.resolve().name,
        config=config,
        metrics=tuple(line for path in metrics for _, line in read_lines(path, MetricsLine, appended=True)),
        timings={} if timings is None else timings.stages,
        candidates=tuple(candidate for _, candidate in read_lines(folder.candidates, Candidate, space, appended=True)),
        winners=_optional(folder.winners, Winners, space),
        trials=tuple(trial for _, trial in read_lines(folder.race_trials, Trial, space)),
        race=_optional(folder.race, RaceResult, space),
        rank_study=_optional(folder.rank_study, RankStudy, space),
        results=_optional(folder.results, Results, space),
        trees=_optional(folder.trees, Trees, space),
        codesign=_optional(folder.codesign, Codesign, space),
        schema=schema,
        shape=None if schema is None else _shape(config, schema),
        split_times=_split_times(folder.data / FOLDER / DESCRIPTION),
        missing=tuple(file.name for file in files if not file.is_file()),
    )


def _optional(path: Path, kind: type[T], space: SearchSpace) -> T | None:
    return read_record(path, kind, space) if path.is_file() else None


def _split_times(path: Path) -> dict[str, tuple[str, str]]:
    """What a split by time has left; nothing where there is none. Raises ValueError for a broken file."""
    if not path.is_file():
        return {}
    try:
        return {
            name: (str(first), str(last)) for name, (first, last) in zip(SPLITS, read_json(path)["times"], strict=True)
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: the times of the splits cannot be read ({error!r}); remove it and resume the run"
        ) from error


def _space(config: dict[str, Any], path: Path) -> SearchSpace:
    model = config.get("model")
    name = model.get("space") if isinstance(model, dict) else None
    if name not in SPACES:
        raise ValueError(f"{path}: field 'model.space': found {name!r}, expected one of {list(SPACES)}")
    return space_of(name, model.get("precision", "float") if isinstance(model, dict) else "float")


def _shape(config: dict[str, Any], schema: Schema) -> InputShape:
    model = config["model"]
    numbers = numbers_read(model.get("numbers", "standardized"), schema.dense_width)
    return InputShape(numbers, schema.num_categories, model["embedding_width"])
