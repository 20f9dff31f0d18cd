# make search   set everything up and run the whole chain        (ARGS="--run NAME ..." J=1x2: options, processes)
# make test     set everything up and run the tests              (ARGS="tests/modules -k word": a part of them)
#               ARGS="-m 'not slow'" leaves out the tests that take many seconds; ARGS="-n 0" runs them in one process
# make lint     ruff and mypy                                    make format: let ruff lay out the code
# make setup    only the virtual environment                     make clean: remove it and all caches, keep runs/
#
# Versions: requirements.txt.   What is installed and how: launch/install.sh.

PYTHON ?= python3
VENV ?= .venv
# cpu or cuda: which builds of torch and fbgemm-gpu
BUILD ?= $(shell nvidia-smi -L >/dev/null 2>&1 && echo cuda || echo cpu)
# where a CPU build of torch comes from when pip finds none on this machine; used for torch alone
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

packages := $(VENV)/.packages-$(BUILD)
project := $(VENV)/.project

.PHONY: help setup search test lint format clean
help:
	@sed -n '/^# make\|^#  /s/^# //p' Makefile

$(packages): requirements.txt launch/install.sh
	launch/install.sh $(VENV) $(PYTHON) $(BUILD) $(TORCH_INDEX)
	touch $@

# Editable: the entry points of pyproject.toml (`torchx run FILE.py`) need the project to be installed.
$(project): pyproject.toml $(packages)
	$(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation -e .
	touch $@

setup: $(project)

search: setup
	$(VENV)/bin/torchx run launch/search.py $(if $(J),-j $(J)) $(if $(ARGS),-- $(ARGS))

test: setup
	$(VENV)/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile --durations=10 $(ARGS)

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: setup
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
