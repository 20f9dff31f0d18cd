"""The component files of the stages, read the way TorchX reads them."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torchx.runner import get_runner
from torchx.specs import AppDef
from torchx.specs.file_linter import get_fn_docstring
from torchx.specs.finder import get_component

from launch.codesign import codesign
from launch.export import export
from launch.plan import plan
from launch.prepare import prepare
from launch.program import RUN_FOLDER, SCHEDULER
from launch.race import race
from launch.report import report
from launch.retrain import retrain
from launch.search import search
from launch.search_supernet import search_supernet
from launch.train import train

ROOT = Path(__file__).parents[2]
COMPONENTS = {
    search: "pipeline.chain",
    train: "pipeline.train",
    search_supernet: "pipeline.search",
    race: "pipeline.race",
    retrain: "pipeline.retrain",
    codesign: "pipeline.codesign",
    export: "pipeline.export",
}


LONE = {plan: "pipeline.plan", report: "pipeline.report"}
"""Programs of one process."""


@pytest.fixture(autouse=True)
def on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No scheduler that another test has left."""
    monkeypatch.delenv(SCHEDULER, raising=False)


@pytest.mark.parametrize("component", LONE)
def test_programs_of_one_process(component: Callable[..., AppDef], monkeypatch: pytest.MonkeyPatch) -> None:
    """They take no -j and no GPU, here and on a cluster, and TorchX accepts their files."""
    name = component.__name__
    found = get_component(f"{ROOT}/launch/{name}.py:{name}")
    for scheduler in ("local_cwd", "slurm"):
        monkeypatch.setenv(SCHEDULER, scheduler)
        (role,) = found.fn("--run", "a").roles
        assert role.args == ["-m", LONE[component], "--run", "a"]
        assert (role.num_replicas, role.resource.gpu) == (1, 0)
    assert {"j", "gpu", "port"}.isdisjoint(inspect.signature(component).parameters)
    assert (RUN_FOLDER in role.metadata) == (component is report)


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


@pytest.mark.parametrize("scheduler", ["slurm", "kubernetes", "aws_batch"])
def test_a_cluster_is_asked_for_what_j_says(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a machine without GPUs and with few cores, -j 4x8 asks for four nodes of eight GPUs, 64 cores, 800 GB."""
    monkeypatch.setenv(SCHEDULER, scheduler)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    given: dict[str, Any] = {"image": "registry/image:1", "mounts": ["type=volume", "src=shared", "dst=/shared"]}
    (role,) = search("--runs", "/shared/runs", j="4x8", **given).roles
    assert (role.num_replicas, role.resource.gpu, role.resource.cpu, role.resource.memMB) == (4, 8, 64, 800_000)
    assert role.env["OMP_NUM_THREADS"] == "8" and role.metadata[RUN_FOLDER] == "/shared/runs/default"
    assert [mount.dst_path for mount in role.mounts] == ["/shared"]
    command = role.args[-1]
    assert ("exec python -m launch.agent" in command) == (scheduler != "slurm")
    (own,) = search(j="4x8", gpu=0, cpu=4, memMB=5000, **given).roles
    assert (own.resource.gpu, own.resource.cpu, own.resource.memMB) == (0, 4, 5000)
    if scheduler != "slurm":
        with pytest.raises(ValueError, match=r"runs a container image .* give --image NAME"):
            search(j="4x8")


def test_aws_batch_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job definition: four nodes of the image, eight GPUs each, and agents that meet on the main node."""
    monkeypatch.setenv(SCHEDULER, "aws_batch")
    app = search("--run", "big", j="4x8", image="registry/image:1")
    with get_runner() as runner:
        request = runner.dryrun(app, "aws_batch", {"queue": "gpus"}).request
    assert request.queue == "gpus"
    properties = request.job_def["nodeProperties"]
    (nodes,) = properties["nodeRangeProperties"]
    container = nodes["container"]
    assert (properties["numNodes"], container["image"]) == (4, "registry/image:1")
    asked = {one["type"]: one["value"] for one in container["resourceRequirements"]}
    assert (asked["GPU"], asked["VCPU"], asked["MEMORY"]) == ("8", "64", "800000")
    assert container["command"][:2] == ["bash", "-c"]
    assert "AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS" in container["command"][2]


def test_local_request() -> None:
    """On this machine: one agent that starts the processes, with the run's folder in the role."""
    app = search("--run", "small", j="1x2", gpu=0)
    with get_runner() as runner:
        request = runner.dryrun(app, "local_cwd", {"log_dir": "/tmp"}).request
    ((replica,),) = request.role_params.values()
    assert replica.args[1:] == [
        *("-m", "launch.agent", "--nnodes=1", "--nproc-per-node=2", "--standalone", "-m", "--"),
        *("pipeline.chain", "--run", "small"),
    ]
    assert app.roles[0].metadata[RUN_FOLDER] == "runs/small"
