# Muster's few commands. Needs only make and Python 3.11 or newer; everything else comes from PyPI into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
STAMP := $(VENV)/.installed
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_COMPILE=1 $(BIN)/python -m pip install \
	--quiet --progress-bar off --constraint constraints.txt --editable
PYTEST := $(BIN)/python -m pytest -q
# One more than two cores: many tests wait for processes.
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help install demo test test-long check format bench schema docs lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## make .venv with Muster and its tools

# What Muster itself needs, which is all that the demo waits for; the tools come on top.
$(RUNTIME): pyproject.toml constraints.txt
	@echo "Installing into $(VENV) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with: make PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) '.[demo]'
	@touch $@

$(STAMP): $(RUNTIME)
	@echo "Installing the tools ..."
	@$(PIP) '.[dev]'
	@touch $@

demo: $(RUNTIME) ## play a shop's event log through everything and compare with ClickHouse
	@$(BIN)/python -m processors.demo

test: $(STAMP) ## every test on the embedded parts
	@$(PYTEST) -n $(WORKERS) --dist worksteal -m "not cluster and not slow and not long"

test-long: $(STAMP) ## the long profile of the property and fault suites, alone
	@MUSTER_TEST_PROFILE=long $(PYTEST) -n $(WORKERS) --dist worksteal -m "not cluster" --timeout 3600

check: $(STAMP) ## lint, formatting, types and the import graph
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(PYTEST) tests/architecture

format: $(STAMP) ## put the code in its format
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

bench: $(STAMP) ## speed figures, each beside a floor measured in the same run
	@$(BIN)/python -m benchmarks

schema: $(STAMP) ## write the JSON Schemas of definitions files and of cases anew
	@$(BIN)/python -m cohort_store.definition_schema > schema/definitions.new
	@mv schema/definitions.new schema/definitions.schema.json
	@$(BIN)/python -m processors.offline.case_schema > schema/cases.new
	@mv schema/cases.new schema/cases.schema.json

docs: $(STAMP) ## write docs/cli.md from the commands' own help
	@$(BIN)/python -m processors.cli.reference > docs/cli.md

lock: $(STAMP) ## resolve constraints.txt anew (needs uv)
	@{ head -n 1 constraints.txt; uv pip compile --quiet --universal --python-version 3.11 --extra dev --extra demo --extra openfeature --upgrade \
		--no-header --no-annotate --no-emit-index-url pyproject.toml | grep -v win32; } > constraints.new
	@mv constraints.new constraints.txt

clean: ## remove .venv and every cache
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
