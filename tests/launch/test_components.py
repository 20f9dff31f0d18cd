"""The component files of the stages, read the way TorchX reads them."""

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
from torchx.runner import get_runner
from torchx.specs import AppDef
from torchx.specs.file_linter import get_fn_docstring
from torchx.specs.finder import get_component

from launch.codesign import codesign
from launch.export import export
from launch.prepare import prepare
from launch.search import search
from launch.train import train

ROOT = Path(__file__).parents[2]
COMPONENTS = {
    search: "pipeline.chain",
    train: "pipeline.train",
    codesign: "pipeline.codesign",
    export: "pipeline.export",
}


@pytest.mark.parametrize("component", COMPONENTS)
def test_torchx_accepts_the_file(component: Callable[..., AppDef]) -> None:
    """TorchX's own checks pass on file:function, and what it finds runs the stage's program."""
    name = component.__name__
    found = get_component(f"{ROOT}/launch/{name}.py:{name}")
    app = found.fn("--run", "a", j="1x1")
    assert app.name == app.roles[0].name == name
    assert app.roles[0].args == ["-m", COMPONENTS[component], "--run", "a"]


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_same_options_everywhere(component: Callable[..., AppDef]) -> None:
    """The components differ in their program alone: same options, same defaults, same explanations, none missing."""
    assert inspect.signature(component) == inspect.signature(search)
    (_, options), (_, reference) = get_fn_docstring(component), get_fn_docstring(search)
    assert {name: text for name, text in options.items() if name != "program_args"} == {
        name: text for name, text in reference.items() if name != "program_args"
    }
    assert all(text.strip() for text in options.values())


@pytest.mark.parametrize("component", [*COMPONENTS, prepare])
def test_every_option_arrives(component: Callable[..., AppDef]) -> None:
    """Each option of the signature is found where the scheduler looks for it, and none in the place of another."""
    numbers = {"cpu": 5, "gpu": 6, "memMB": 7000, "max_retries": 8, "port": 9000}
    given = numbers | {"j": "3x1", "image": "registry/image:1", "python": "/opt/python", "env": {"A": "b"}}
    known = inspect.signature(component).parameters
    (role,) = component(**{name: value for name, value in given.items() if name in known}).roles
    assert (role.num_replicas, role.image, role.max_retries, role.env["A"]) == (3, "registry/image:1", 8, "b")
    gpus = 6 if "gpu" in known else 0
    assert (role.resource.cpu, role.resource.gpu, role.resource.memMB) == (5, gpus, 7000)
    assert "/opt/python" in " ".join([role.entrypoint, *role.args])
    assert ("port" in known) == (":9000" in " ".join(role.args)) == (role.port_map == {"c10d": 9000})
    (large,) = component(h="aws_m5.2xlarge", memMB=1).roles
    assert large.resource.memMB > 1


def test_slurm_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch script asks for the nodes, cores, memory and GPUs, and starts one agent a node that meets the first."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.chdir(ROOT)
    app = search("--run", "big run", j="2x8", cpu=96, gpu=8, memMB=1024000, python="/opt/env/bin/python", port=4321)
    with get_runner() as runner:
        lines = str(runner.dryrun(app, "slurm")).splitlines()
    assert "#!/bin/bash" in lines
    directives = [line for line in lines if line.startswith("#SBATCH --job-name")]
    assert len(directives) == 2
    for directive in directives:
        assert directive.endswith("--ntasks-per-node=1 --cpus-per-task=96 --mem=1024000 --gpus-per-task=8")
    starts = [line for line in lines if "launch.agent" in line]
    assert len(starts) == 2
    for start in starts:
        assert "OMP_NUM_THREADS=12" in start
        assert "exec /opt/env/bin/python -m launch.agent --nnodes=2 --nproc-per-node=8" in start
        assert '"--rdzv-endpoint=${SLURM_JOB_NODELIST_HET_GROUP_0:-localhost}:4321"' in start
        assert "-m -- pipeline.chain --run" in start and "big run" in start
