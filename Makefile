# One word each; every command builds the environment that it needs.
PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
FRESH := build/fresh
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# JupyterLab wants to be told when it runs as root, as in a container.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
LAB ?=
PYTEST ?=

.PHONY: lab test check demo bench picture constraints clean help

help:
	@echo "make lab     open JupyterLab on notebooks/ (flags: make lab LAB=\"--no-browser --port 8899\")"
	@echo "make test    run every test (flags: make test PYTEST=\"-k stream\")"
	@echo "make demo    the whole journey in the terminal"
	@echo "make check   ruff, mypy --strict and the floors"
	@echo "make bench   performance as ratios"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
		|| { echo "chatlab needs Python 3.11 or newer. Name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Building the environment in $(VENV): about a minute, once"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

lab: $(READY)
	$(BIN)/python -m jupyterlab --notebook-dir=notebooks $(AS_ROOT) $(LAB)

test: $(READY)
	$(BIN)/python -m pytest $(PYTEST)

check: $(READY)
	$(BIN)/ruff check chatlab tests
	$(BIN)/ruff format --check chatlab tests
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_floors.py

demo: $(READY)
	$(BIN)/chatlab demo

bench: $(READY)
	$(BIN)/python -m tests.benchmarks

picture: $(READY)
	CHATLAB_UPDATE_PICTURE=1 CHATLAB_REQUIRE_BROWSER=1 $(BIN)/python -m pytest -q tests/browser

# The newest versions that the oldest supported Python takes: run it with that one, PYTHON=python3.11.
constraints:
	rm -rf $(FRESH)
	$(PYTHON) -m venv $(FRESH)
	$(FRESH)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	$(FRESH)/bin/python -m pip freeze --exclude-editable > constraints.txt

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
