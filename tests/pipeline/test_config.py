"""The configuration: every field explained and checked, and command lines that say what is wrong."""

import ast
import dataclasses
import inspect
import textwrap
from typing import Any

import pytest

from pim_codesign import ChipOptions, Hardware
from pim_codesign.options import options_of
from pipeline.command_line import read_command_line
from pipeline.config import (
    NAMED_RUNS,
    ExportConfig,
    ModelConfig,
    RetrainConfig,
    RunConfig,
    SupernetConfig,
    describe,
    quick,
)
from pipeline.data import DataConfig
from pipeline.run.folder import _flat, plain
from pipeline.run.records.recipe import Recipe
from pipeline.search.config import EvolutionConfig, NSGA2Config, RandomSearchConfig

CLASSES = [RunConfig] + [
    type(getattr(RunConfig(), name)) for name in plain(RunConfig()) if isinstance(plain(RunConfig())[name], dict)
]


def explained(config: type) -> set[str]:
    """Names of the fields that the class itself follows with a docstring."""
    if config is ChipOptions.__base__:  # made from the chip's options, whose help is in the fields' metadata
        return {name for name, one in options_of(Hardware).items() if one.help}
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(config))).body
    assert isinstance(definition, ast.ClassDef)
    pairs = zip(definition.body, definition.body[1:], strict=False)
    return {
        field.target.id
        for field, text in pairs
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


@pytest.mark.parametrize("config", CLASSES)
def test_every_field_is_explained(config: type) -> None:
    """Frozen, and a docstring under each field, from which tyro makes the help."""
    found = set().union(*(explained(base) for base in config.__mro__ if base is not object))
    assert {field.name for field in dataclasses.fields(config)} <= found
    assert config.__dataclass_params__.frozen  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMED_RUNS)
def test_named_runs(name: str) -> None:
    """Each is valid, has a line of description, a folder of its own, and is what its name gives on a command line."""
    config = NAMED_RUNS[name]()
    assert config.run == name and describe(name)
    assert read_command_line("chain", [name]) == config


WRONG: list[tuple[type, dict[str, Any], str]] = [
    (RunConfig, {"run": ""}, "run is ''"),
    (RunConfig, {"run": "a/b"}, "run is 'a/b'"),
    (
        RunConfig,
        {
            "run": "..",
        },
        "run is '..'",
    ),
    (RunConfig, {"seed": -1}, "seed is -1"),
    (ModelConfig, {"space": "nasrec_huge"}, "model.space is 'nasrec_huge'"),
    *((ModelConfig, {"embedding_width": width}, f"model.embedding_width is {width}") for width in (0, 2, 10)),
    (SupernetConfig, {"sampler": "best_path"}, "supernet.sampler is 'best_path'"),
    (SupernetConfig, {"validation_paths": 0}, "supernet.validation_paths is 0"),
    (SupernetConfig, {"path_warm_up_steps": -1}, "supernet.path_warm_up_steps is -1"),
    (RunConfig, {"minutes": -1.0}, "minutes is -1.0"),
    (RetrainConfig, {"seeds": 0}, "retrain.seeds is 0"),
    (ExportConfig, {"tables": "int2"}, "export.tables has 'int2'; choose of \\['fp32', 'int8', 'int4'\\]"),
    (ExportConfig, {"dense": "fp16"}, "export.dense has 'fp16'"),
    (ExportConfig, {"formats": ("onnx", "torchscript")}, "export.formats has 'torchscript'; choose of"),
    (ExportConfig, {"formats": ("pt2", "pt2")}, "name each format once"),
    (ExportConfig, {"formats": ("onnx",), "dense": "bf16"}, "has onnx and export.dense is bf16"),
    *(
        (config, {field: value}, f"{field} is {value}")
        for config in (SupernetConfig, RetrainConfig)
        for field, value in [("log_every", 0), ("checkpoint_every", -1)]
    ),
    *(
        (config, {field: value}, f"{field} is {value}")
        for config in (SupernetConfig, Recipe)
        for field, value in [
            ("batch_size", 0),
            ("epochs", 0),
            ("learning_rate", 0.0),
            ("table_learning_rate", float("nan")),
            ("clip_norm", -1.0),
            ("epsilon", 0.0),
            ("warm_up_share", 1.5),
            ("initial_square", -0.1),
        ]
    ),
]


@pytest.mark.parametrize(("config", "fields", "message"), WRONG)
def test_wrong_values(config: type, fields: dict[str, Any], message: str) -> None:
    """A ValueError naming the field and the value found."""
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        config(**fields)


def test_single_fields_change_a_named_run() -> None:
    """Flags after the name change those fields and no others."""
    found = read_command_line("chain", ["quick", "--supernet.batch-size", "64", "--run", "mine"])
    expected = quick()
    expected = dataclasses.replace(expected, run="mine", supernet=dataclasses.replace(expected.supernet, batch_size=64))
    assert found == expected
    assert len(_flat(plain(found))) == len(_flat(plain(expected)))


def test_a_strategy_has_its_own_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """Chosen on the command line, a strategy scores as many candidates as the run's own would, its settings may be
    changed, and another strategy's are refused."""
    size = quick().search.candidates
    assert read_command_line("chain", ["quick", "--search.strategy", "random"]).search == RandomSearchConfig(
        "random", size
    )
    arguments = ["quick", "--search.strategy=random", "--search.candidates", "5"]
    assert read_command_line("chain", arguments).search == RandomSearchConfig("random", 5)
    arguments = ["quick", "--search.strategy", "nsga2", "--search.objectives", "log_loss", "latency_us"]
    found = read_command_line("chain", [*arguments, "--search.max-mflops", "2", "--search.max-params", "9"]).search
    expected = NSGA2Config.of_size(size)
    assert found == dataclasses.replace(expected, objectives=("log_loss", "latency_us"), max_mflops=2.0, max_params=9)
    found = read_command_line("chain", ["quick", "--search.strategy", "evolution", "--search.children", "2"]).search
    assert isinstance(found, EvolutionConfig)
    assert found == dataclasses.replace(found, children=2) and found.candidates == size - 2 * 2
    for wrong in (["--search.strategy", "random", "--search.generations", "3"], ["--search.candidates", "9"]):
        with pytest.raises(SystemExit) as raised:
            read_command_line("chain", wrong)
        assert raised.value.code == 2 and wrong[-2] in capsys.readouterr().err
    known = r"\['evolution', 'metropolis', 'nsga2', 'predicted', 'random'\]"
    with pytest.raises(ValueError, match=rf"search\.strategy is 'annealing'; choose one of {known}"):
        read_command_line("chain", ["--search.strategy", "annealing"])


def test_a_named_run_on_a_log() -> None:
    """The named run's settings of generated data do not stand in the way of a log; those a user gives still do."""
    found = read_command_line("chain", ["quick", "--data.path", "mine.csv"])
    assert found == dataclasses.replace(NAMED_RUNS["quick"](), data=DataConfig(path="mine.csv"))
    assert read_command_line("chain", ["quick", "--data.path=mine.csv"]) == found
    with pytest.raises(SystemExit):
        read_command_line("chain", ["quick", "--data.path", "mine.csv", "--data.rows", "500"])


def test_unknown_named_run() -> None:
    """A ValueError with the names there are."""
    with pytest.raises(ValueError, match="unknown run 'quik'; named runs are default, quick"):
        read_command_line("chain", ["quik"])


@pytest.mark.parametrize(
    "arguments", [["--supernet.batch-siz", "64"], ["quick", "--data.rows", "many"], ["--seed", "-1"]]
)
def test_flags_that_do_not_fit(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Unknown flags and values of another type or range end with status 2, naming the flag."""
    with pytest.raises(SystemExit) as raised:
        read_command_line("chain", arguments)
    assert raised.value.code == 2
    said = capsys.readouterr()
    assert arguments[-2].lstrip("-").split(".")[-1] in said.out + said.err
