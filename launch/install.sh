#!/usr/bin/env bash
# Makes a virtual environment that holds exactly requirements.txt. Called by the Makefile:
#   launch/install.sh VENV PYTHON cpu|cuda TORCH_INDEX
# cuda: pip's ordinary way, which takes the CUDA builds and the libraries they ask for.
# cpu:  the list is a full closure, so nothing is resolved (--no-deps) and nothing of CUDA comes along. A CPU build of torch
#       that pip finds on this machine (its find-links) is used; else TORCH_INDEX is asked, for torch alone.
set -euo pipefail
venv=$1 python=$2 build=$3 torch_index=$4
cd "$(dirname "$0")/.."

fail() { echo "install: $*" >&2; exit 1; }
step() { printf '\n== %s\n' "$*"; }

command -v "$python" >/dev/null || fail "no program '$python'; name a Python 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.11"
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
    fail "'$python' is $("$python" --version 2>&1); Python 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3.11"
[[ $build == cpu || $build == cuda ]] || fail "BUILD=$build; it is cpu or cuda"

step "$venv: a new environment of $("$python" --version), $build builds"
"$python" -m venv --clear "$venv" || fail "'$python -m venv' failed (Debian and Ubuntu: apt install python3-venv)"
# --no-build-isolation: the few packages that come as source are built with our setuptools, not with the newest of today.
pip=("$venv/bin/python" -m pip --disable-pip-version-check install)
torch=$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements.txt)
setuptools=$(sed -n 's/^\(setuptools==[^ ]*\).*/\1/p' requirements.txt)

if [[ $build == cpu ]]; then
    step "$torch, CPU build"
    "${pip[@]}" --no-deps --no-index "$torch+cpu" 2>/dev/null ||
        "${pip[@]}" --no-deps --index-url "$torch_index" "$torch" ||
        fail "no CPU build of $torch: not in pip's find-links, and not to be had from TORCH_INDEX=$torch_index." \
            "Name an index that serves it (make TORCH_INDEX=https://…), or put its wheel into a folder and" \
            "export PIP_FIND_LINKS=/that/folder"
    step "the other packages of requirements.txt"
    sed 's/^fbgemm-gpu==/fbgemm-gpu-cpu==/' requirements.txt >"$venv/requirements-cpu.txt"
    "${pip[@]}" --quiet --no-deps "$setuptools"
    "${pip[@]}" --quiet --no-deps --no-build-isolation -r "$venv/requirements-cpu.txt"
else
    step "requirements.txt, CUDA builds (several GB)"
    "${pip[@]}" --quiet --no-deps "$setuptools"
    "${pip[@]}" --no-build-isolation -r requirements.txt
fi

step "check"
"$venv/bin/python" - "$build" <<'PYTHON' || fail "the environment in $venv is not usable (see above)"
import shutil
import sys

import fbgemm_gpu  # its operators load only with the torch they were built for
import torch
import torchrec

build, cuda = sys.argv[1], torch.version.cuda
if (build == "cuda") != (cuda is not None):
    sys.exit(
        f"install: {build} was asked for, but torch {torch.__version__} is built for CUDA {cuda}. "
        "A find-links folder or an index of pip's settings serves the other build first: see `pip config list`, "
        "or choose: make BUILD=cpu, make BUILD=cuda"
    )
if build == "cuda" and not torch.cuda.is_available():
    if shutil.which("nvidia-smi"):
        sys.exit(f"install: the driver of this machine does not run CUDA {cuda}: update it, or make BUILD=cpu")
    print("no NVIDIA driver here, as in an image being built: the CUDA builds are installed, and not tried")
print(f"torch {torch.__version__}, torchrec {torchrec.__version__}, fbgemm_gpu {fbgemm_gpu.__version__}: CUDA {cuda}")
PYTHON
