# Two commands set up and answer: `git clone ... && cd tunefare`, `make plan`. `make help` lists the rest.
PYTHON ?= python3
VENV   ?= .venv
PROBE_VENV ?= .venv-probe
BIN    := $(VENV)/bin
JOB    ?= docs/examples/llama-ner.toml

# Matrices here are small: beside other work, threads of the linear algebra cost ten times what they save.
export OPENBLAS_NUM_THREADS ?= 1

# Tests and the processes that they start are compiled once, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help plan setup probe-env test soak check lint types contracts packaging coverage bench truth truth-tables calibrate provider-docs \
	golden format clean

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.developer: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

$(PROBE_VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(PROBE_VENV)
	$(PROBE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[probe]" pytest
	@touch $@

probe-env: $(PROBE_VENV)/.installed  ## torch and what the tests of `tunefare probe` run in (6 GB)

plan: $(VENV)/.installed  ## the cheapest way to train JOB (default: the example of the README)
	@$(BIN)/tunefare plan $(JOB)

setup: $(VENV)/.developer  ## everything that developing needs

test: $(VENV)/.developer  ## all tests, offline, in parallel
	$(BIN)/python -m pytest -q -n auto

check: lint types contracts packaging  ## what CI checks beside the tests

lint: $(VENV)/.developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.developer
	$(BIN)/mypy

contracts: $(VENV)/.developer
	$(BIN)/lint-imports

packaging: $(VENV)/.developer
	$(BIN)/python -m pytest -q tests/packaging

coverage: $(VENV)/.developer  ## line and branch coverage of the tests
	$(BIN)/python -m pytest -q -n auto --cov --cov-report=term

truth: $(VENV)/.developer  ## how far off the estimates are, against published runs (a minute or two)
	$(BIN)/python -m pytest -q -s tests/truth

truth-tables: $(VENV)/.developer  ## rewrite the error tables of README and docs from the shipped rows
	$(BIN)/python -m optimizer.measure.error_tables README.md docs/memory-model.md docs/time-model.md

provider-docs: $(VENV)/.developer  ## rewrite what docs and .env.example say of the price sources
	$(BIN)/python -m providers.documentation docs/providers.md .env.example

calibrate: $(VENV)/.developer  ## refit the shipped constants from the shipped measurements
	$(BIN)/python -m optimizer.measure.refit

soak: $(VENV)/.developer  ## kills and races on the stores, studies on Ray: some minutes
	$(BIN)/python -m pytest -q -s tests/soak

bench: $(VENV)/.developer  ## the performance claims, as ratios measured in one run
	$(BIN)/python benchmarks/search_kernel.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/price_store.py
	$(BIN)/python benchmarks/refresh_fakes.py
	$(BIN)/python benchmarks/frontier.py
	$(BIN)/python benchmarks/portfolio.py
	$(BIN)/python benchmarks/spot_closed_form.py
	$(BIN)/python benchmarks/spot_policies.py
	$(BIN)/python benchmarks/study.py
	$(BIN)/python benchmarks/ledger.py

golden: $(VENV)/.developer  ## rewrite the golden files; read the diff before committing it
	TUNEFARE_UPDATE_GOLDEN=1 $(BIN)/python -m pytest -q tests/golden

format: $(VENV)/.developer
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(PROBE_VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
