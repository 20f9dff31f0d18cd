"""A run's configuration: one frozen dataclass per concern. tyro builds the command line.

Nothing that is imported here imports torch: --help and what is wrong with a command line answer without it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import get_args

import tyro

from modules.space.names import SAMPLER_NAMES, PrecisionName, SpaceName
from pim_codesign import CodesignConfig
from pim_codesign.search.config import COST_LIMITS
from pipeline.data import DataConfig
from pipeline.race.config import RaceConfig, starting_recipe
from pipeline.run.names import Device
from pipeline.run.records.recipe import Numbers, check_width
from pipeline.run.records.settings import RankStudyConfig, TreesConfig
from pipeline.search.config import EvolutionConfig, SearchConfig
from pipeline.search.scoring_config import PUBLISHED, ScoringConfig
from pipeline.serving.names import DensePrecision, ExportFiles, FurtherFormat, TablePrecision
from pipeline.training.config import TrainingConfig, UpkeepConfig


@dataclass(frozen=True)
class ModelConfig:
    """What is searched."""

    space: SpaceName = "open"
    """open (NASRec's operators and those that hand-made models are made of, a free depth, a head that reads any
    outputs: docs/search_space.md), or as published NASRec-Small (fc, dot product; EFC) or NASRec-Full (gating, sum and
    attention too)."""
    precision: PrecisionName = "float"
    """float, or mixed: each operator and merger of a block has weights and activations of 4, 6 or 8 bits, or computes
    in floating point; the bits are drawn, mutated and trained with the network (docs/search_space.md)."""
    embedding_width: int = 16
    """Width D of every embedding vector in the supernet, and where the race's recipes start; a multiple of 4, as
    FBGEMM wants it."""
    numbers: Numbers = "standardized"
    """What the supernet reads in the place of the numeric columns, and where the race's recipes start: standardized, or
    piecewise (how far each number has filled each of up to 16 bins of its column, whose edges are quantiles)."""

    def __post_init__(self) -> None:
        if self.numbers not in get_args(Numbers):
            raise ValueError(f"model.numbers is {self.numbers!r}; choose one of {list(get_args(Numbers))}")
        if self.space not in get_args(SpaceName):
            raise ValueError(f"model.space is {self.space!r}; choose one of {list(get_args(SpaceName))}")
        if self.precision not in get_args(PrecisionName):
            raise ValueError(f"model.precision is {self.precision!r}; choose one of {list(get_args(PrecisionName))}")
        check_width("model.embedding_width", self.embedding_width)


@dataclass(frozen=True)
class SupernetConfig(TrainingConfig):
    """How the supernet is trained."""

    sampler: str = "single_operator_any_connection"
    """Which path a step trains: single_operator_any_connection (the method's own), single_path, any_path, full_path."""
    path_warm_up_steps: int = 0
    """Steps over which the full path is drawn with a probability falling from 1 to 0 (published: 15,000 on Criteo). A
    full path has 21 (Small) or 31 (Full) times the multiply-accumulates of a mean one. With --model.precision mixed all
    paths of these steps are in floating point."""
    paths_per_step: int = 1
    """Paths that a step draws, at least 1: they share its rows and one embedding lookup, their gradients averaged."""
    distinct_paths: bool = False
    """Each rank draws paths of its own, their gradients averaged over the union; off: all ranks train the same."""
    validation_paths: int = 8
    """Random sub-networks, always the same, whose mean validation log loss stands for the supernet's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampler not in SAMPLER_NAMES:
            raise ValueError(f"supernet.sampler is {self.sampler!r}; choose one of {sorted(SAMPLER_NAMES)}")
        for name, least in (("path_warm_up_steps", 0), ("paths_per_step", 1), ("validation_paths", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"supernet.{name} is {getattr(self, name)}; it must be at least {least}")


@dataclass(frozen=True)
class RetrainConfig(UpkeepConfig):
    """How the race's finalists are trained to the end: each with its own recipe, several times."""

    seeds: int = 3
    """Trainings of each finalist, with different seeds, at least 1: they say how much of a difference is luck."""
    architectures: tuple[str, ...] = ()
    """JSON files of further architectures to race and train: this project's format, or NasRec's own."""
    layer_norm: bool = True
    """Whether networks of NASRec's spaces keep the supernet's layer norms, or have biases in their place as the
    published final models do (attention's residual norms stay)."""
    platt_scaling: bool = True
    """Rescale each trained network's logits by a scale and a bias that are fitted on the validation rows, and compare
    validation log losses after that, in the race too: several passes leave a network too sure of itself."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seeds < 1:
            raise ValueError(f"retrain.seeds is {self.seeds}; it must be at least 1")


@dataclass(frozen=True)
class ExportConfig:
    """What is written as model.pt, and beside it."""

    model: str = ""
    """Name of the model of results.json to export; empty: the best by validation, of any kind."""
    ensemble: bool = False
    """Export the mean of the model's seeds' logits as one model.pt, with each seed's tables in it; off: the seed with
    the least validation log loss alone."""
    tables: TablePrecision = "fp32"
    """What the tables' numbers are held in: fp32, or int8 or int4 with a scale and a bias for each row."""
    dense: DensePrecision = "fp32"
    """What the network computes in: fp32, or bf16 (not with onnx)."""
    formats: tuple[FurtherFormat, ...] = ()
    """Files beside model.pt: pt2 (model.pt2, compiled by AOTInductor for this machine's processor; needs a C++
    compiler), onnx (model.onnx)."""
    mapped: bool = False
    """Write the tables as a file of their own, model.tables, which is mapped into memory where model.pt is served, so
    that they need not fit there and processes share them (not with formats: those hold the tables themselves)."""

    def __post_init__(self) -> None:
        for name, value, names in (
            ("tables", self.tables, get_args(TablePrecision)),
            ("dense", self.dense, get_args(DensePrecision)),
            *(("formats", one, get_args(FurtherFormat)) for one in self.formats),
        ):
            if value not in names:
                raise ValueError(f"export.{name} has {value!r}; choose of {list(names)}")
        if len(set(self.formats)) < len(self.formats):
            raise ValueError(f"export.formats is {list(self.formats)}; name each format once")
        if self.mapped and self.formats:
            raise ValueError(
                f"export.mapped is on and export.formats is {list(self.formats)}, whose files hold the tables "
                "themselves and are loaded whole; leave one of them out"
            )
        if self.dense == "bf16" and "onnx" in self.formats:
            raise ValueError(
                "export.formats has onnx and export.dense is bf16, which ONNX Runtime does not compute in on CPUs; "
                "leave one of them out"
            )

    @property
    def files(self) -> ExportFiles:
        """Which files are written, and in what precision."""
        return ExportFiles(self.tables, self.dense, self.formats, self.mapped)


@dataclass(frozen=True)
class RunConfig:
    """Stream click logs, train the supernet, search it, race the best from scratch against hand-made models, train the
    finalists, map the winner to ReRAM, export it, report."""

    run: str = "default"
    """Name of the run: its folder under --runs. The same command again resumes where it stopped."""
    runs: str = "runs"
    """Folder that holds the runs."""
    seed: int = 0
    """Seed of every draw of the run, at least 0. (The generated data have --data.seed.)"""
    minutes: float = 0.0
    """Wall-clock minutes that the race and the finalists' trainings may take on these processes, converted once into
    rows; 0: as long as it takes."""
    warm_start: str = ""
    """Folder of a finished run whose exported model is trained on with this log's rows, in the place of a search: one
    pass from its weights, with its network, recipe and numbering of values. Empty: nothing is trained on."""
    device: Device = "auto"
    """cpu, cuda, or auto: CUDA where there is one."""
    data: DataConfig = field(default_factory=DataConfig)
    """The click logs."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """What is searched."""
    supernet: SupernetConfig = field(default_factory=SupernetConfig)
    """Training of the supernet."""
    search: tyro.conf.AvoidSubcommands[SearchConfig] = field(default_factory=lambda: EvolutionConfig(generations=2))
    """How many candidates are scored, and how they are chosen: the settings of one strategy."""
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    """How a candidate is judged."""
    race: RaceConfig = field(default_factory=RaceConfig)
    """The race of contenders from scratch."""
    rank_study: RankStudyConfig = field(default_factory=RankStudyConfig)
    """The study of how well scores rank networks."""
    retrain: RetrainConfig = field(default_factory=RetrainConfig)
    """Training of the finalists."""
    trees: TreesConfig = field(default_factory=TreesConfig)
    """Gradient-boosted trees that the networks are compared with."""
    codesign: CodesignConfig = field(default_factory=lambda: CodesignConfig(log_loss_measurements=40))
    """Search of the winner's ReRAM mapping."""
    export: ExportConfig = field(default_factory=ExportConfig)
    """Which model is exported."""

    def __post_init__(self) -> None:
        if not self.run or "/" in self.run or self.run.startswith("."):
            raise ValueError(f"run is {self.run!r}; give a plain folder name")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must be at least 0")
        if self.minutes < 0:
            raise ValueError(f"minutes is {self.minutes}; it must be at least 0")


FREE_FIELDS = frozenset(
    {"runs", "device", "data.path", "data.read_threads", "race.workers"}
    | {f"export.{own.name}" for own in fields(ExportConfig)}
    | {f"rank_study.{own.name}" for own in fields(RankStudyConfig)}
    | {f"codesign.{name}" for name in COST_LIMITS}
    | {f"{stage}.checkpoint_{each}" for stage in ("supernet", "retrain") for each in ("minutes", "every")}
)
"""Fields that may differ when a run is resumed: they do not change what is computed. (data.path is one, as the log may
have been moved; whether it is the same is seen from its files: pipeline/data/fingerprint.py. So are limits of the
chip's costs, which can be raised where no mapping is within them; a codesign.json with others is refused.)"""


def quick() -> RunConfig:
    """A run of about two minutes, to see every stage work; its figures mean little."""
    return RunConfig(
        run="quick",
        data=DataConfig(rows=10_000),
        supernet=SupernetConfig(validation_paths=2),
        search=EvolutionConfig(initial_population=4, generations=2, tournament=4, children=4),
        scoring=ScoringConfig(fine_tune_rows=2_048, valid_rows=2_000),
        race=RaceConfig(
            track="one_pass",
            generations=2,
            handmade=("dlrm", "dcn_v2_parallel"),
            from_supernet=1,
            supernet_rows=0,
            random=4,
            children=2,
            finalists=2,
            tuning_trials=0,
        ),
        retrain=RetrainConfig(seeds=2),
        codesign=CodesignConfig(population=16, generations=10, rounds=2, log_loss_measurements=8),
    )


def criteo_kaggle() -> RunConfig:
    """The published recipe on Criteo Kaggle (give --data.path): budgets of docs/search_space.md."""
    return RunConfig(
        run="criteo_kaggle",
        data=DataConfig(schema="criteo", max_table_rows=500_000),
        supernet=SupernetConfig(path_warm_up_steps=15_000, log_every=500),
        search=EvolutionConfig(initial_population=128, generations=240, tournament=64, children=8),
        scoring=PUBLISHED,
        retrain=RetrainConfig(seeds=2, log_every=500),
    )


def criteo_terabyte() -> RunConfig:
    """Criteo Terabyte, prepared (give --data.path): full tables, days as MLPerf splits them, large batches."""
    return RunConfig(
        run="criteo_terabyte",
        data=DataConfig(split="mlperf_days", max_table_rows=2**31 - 1, read_ahead_mb=1024, read_threads=4),
        supernet=SupernetConfig(batch_size=16_384, path_warm_up_steps=15_000, log_every=500),
        search=EvolutionConfig(initial_population=128, generations=240, tournament=64, children=8),
        scoring=PUBLISHED,
        race=RaceConfig(
            track="one_pass",
            trained="together",
            max_rows=40_000_000,
            recipe=starting_recipe(batch_size=16_384),
        ),
        retrain=RetrainConfig(seeds=1, log_every=500),
    )


NAMED_RUNS: dict[str, Callable[[], RunConfig]] = {
    "default": RunConfig,
    "quick": quick,
    "criteo_kaggle": criteo_kaggle,
    "criteo_terabyte": criteo_terabyte,
}
"""Runs by name: the first argument of a program; further arguments change single fields."""


def describe(named: str) -> str:
    """One line of what a named run is for."""
    return (NAMED_RUNS[named].__doc__ or "").splitlines()[0]
