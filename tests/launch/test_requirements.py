"""requirements.txt is the one list of versions: exact, complete, and what runs here."""

from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LINES = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
PINS: dict[str, Requirement] = {
    canonicalize_name(requirement.name): requirement for requirement in map(Requirement, LINES)
}
ON_CPU = torch.version.cuda is None
INSTALLED_AS = {"fbgemm-gpu": "fbgemm-gpu-cpu"} if ON_CPU else {}


def version(name: str) -> Version:
    """The version of a pinned package in this environment."""
    return Version(distribution(INSTALLED_AS.get(name, name)).version)


def test_exact_and_once() -> None:
    """Every line names a package once, with one version and nothing else; the six of the design card come first."""
    assert len(PINS) == len(LINES)
    assert all(line == f"{Requirement(line).name}=={Version(line.partition('==')[2])}" for line in LINES)
    assert list(PINS)[:6] == ["torch", "torchrec", "fbgemm-gpu", "torchx", "pyarrow", "iopath"]


@pytest.mark.parametrize("name", PINS)
def test_this_environment_holds_the_pins(name: str) -> None:
    """What the tests run with is what the file names."""
    assert Version(version(name).public) == Version(str(PINS[name].specifier).removeprefix("=="))


@pytest.mark.parametrize("name", PINS)
def test_the_list_is_a_closure(name: str) -> None:
    """What a pinned package needs is pinned too, at a version it accepts, for the CPU install resolves nothing."""
    for line in distribution(INSTALLED_AS.get(name, name)).requires or []:
        needed = Requirement(line)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        other = canonicalize_name(needed.name)
        if not ON_CPU and other not in PINS:
            assert distribution(other).version in needed.specifier  # CUDA's libraries, which torch itself pins
        else:
            assert other in PINS, f"{name} needs {line}: add it to requirements.txt"
            assert needed.specifier.contains(version(other).public, prereleases=True), f"{name} needs {line}"


@pytest.mark.skipif(not ON_CPU, reason="this environment has the CUDA builds")
def test_nothing_of_cuda_without_a_gpu() -> None:
    """A CPU environment holds neither CUDA's libraries nor the CUDA fbgemm-gpu, which owns the same folder."""
    names = {canonicalize_name(found.metadata["Name"]) for found in distributions()}
    assert not [name for name in names if name.startswith("nvidia-") or name in ("triton", "fbgemm-gpu")]
    with pytest.raises(PackageNotFoundError):
        distribution("fbgemm-gpu")
