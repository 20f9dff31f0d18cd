"""Training on: a finished run's exported model begins where it ended, on the rows of a newer log (`--warm-start`).

Its network, its numbering of values and its numbers' statistics stay. pipeline/training/earlier_weights.py reads its
weights.
"""

import dataclasses
import shutil
from pathlib import Path

from modules.space.search_space import SearchSpace, space_of
from pipeline.config import RunConfig
from pipeline.data.numbered_as import NumberedAs, begin_numbered_as
from pipeline.data.schema import Schema
from pipeline.run.files import read_json
from pipeline.run.folder import RunFolder
from pipeline.run.records.codec import check_run_format, read_record
from pipeline.run.records.model_card import ModelCard
from pipeline.run.records.race import Finalist, RaceResult
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.results import ModelResult, Results


def begin_warm_start(config: RunConfig, folder: RunFolder) -> None:
    """Before the log is opened: have it numbered, and its numbers standardized, as the earlier run's. Rank 0 calls it.

    Raises ValueError for a folder that is no finished run, and for settings that its model cannot go on with.
    """
    earlier, space = RunFolder(Path(config.warm_start)), space_of(config.model.space, config.model.precision)
    _check_settings(config, earlier)
    card = read_record(earlier.model.with_suffix(".json"), ModelCard, space)
    model = exported_model(earlier, space)
    if config.retrain.seeds > len(model.seeds):
        raise ValueError(
            f"retrain.seeds is {config.retrain.seeds}, but {earlier.path} has {len(model.seeds)} trainings of "
            f"{model.title} to go on with; give --retrain.seeds {len(model.seeds)}"
        )
    schema = Schema.from_json(card.schema, f"{earlier.model.with_suffix('.json')}: field 'schema'")
    begin_numbered_as(NumberedAs(str(earlier.path), schema, card.numbering), earlier.data, folder.data)
    statistics = folder.data / "integers.json"
    if not statistics.exists():
        copied = statistics.with_name("integers.json.tmp-copy")
        shutil.copyfile(earlier.data / "integers.json", copied)
        copied.rename(statistics)


def _check_settings(config: RunConfig, earlier: RunFolder) -> None:
    """Raise ValueError unless the folder holds a finished run whose networks are built as this one's."""
    for path in (earlier.config, earlier.results, earlier.model.with_suffix(".json")):
        if not path.exists():
            raise ValueError(f"warm_start is {config.warm_start!r}, which is no finished run: it has no {path.name}")
    document = read_json(earlier.config)
    check_run_format(document, earlier.config)
    for section, name, own in (
        ("model", "space", config.model.space),
        ("model", "precision", config.model.precision),
        ("retrain", "layer_norm", config.retrain.layer_norm),
    ):
        found = document[section][name]
        if found != own:
            raise ValueError(f"{section}.{name} is {own}, and {earlier.path} was run with {found}; give that")
    if config.retrain.architectures:
        raise ValueError(
            "retrain.architectures names networks to race, but warm_start races none; leave one of them out"
        )


def exported_model(earlier: RunFolder, space: SearchSpace) -> ModelResult:
    """The model that a run has exported, as its results.json knows it."""
    card = read_record(earlier.model.with_suffix(".json"), ModelCard, space)
    models = read_record(earlier.results, Results, space).models
    found = [model for model in models if (model.architecture, model.recipe) == (card.architecture, card.recipe)]
    if not found:
        raise ValueError(f"{earlier.results} knows no model like that of {earlier.model.with_suffix('.json')}")
    return found[0]


def continued(recipe: Recipe) -> Recipe:
    """One pass over the new rows, tables kept: a model in production sees each row once, and forgets nothing.

    >>> continued(Recipe(epochs=3, tables="fresh", table_schedule="each_pass")).tables_in_words
    '1 pass'
    """
    return dataclasses.replace(
        recipe, epochs=1, planned_epochs=0, keep_best_pass=False, tables="kept", table_schedule="as_dense"
    )


def without_race(config: RunConfig, train_rows: int) -> RaceResult:
    """What a race would have ended with: the earlier run's exported model alone."""
    space = space_of(config.model.space, config.model.precision)
    model = exported_model(RunFolder(Path(config.warm_start)), space)
    finalist = Finalist(
        name=model.name,
        kind=model.kind,
        origin=f"trained on from {config.warm_start}",
        architecture=model.architecture,
        recipe=continued(model.recipe),
        trial=0,
        valid_log_loss=model.valid.log_loss,
        supernet_score=model.supernet_score,
        trials=0,
        rows=0,
    )
    return RaceResult(config.race.track, space.name, train_rows, 0, 0, 0, (finalist,))


def before_path(folder: RunFolder, stage: str) -> Path:
    """File of what the earlier weights had on the newer log, before they were trained on."""
    return folder.checkpoints(stage) / "before.json"
