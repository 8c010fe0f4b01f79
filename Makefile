# `make demo` and `make test` do all their own set-up: a virtual environment in .venv from constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOWEST ?= $(VENV)-lowest
OUT ?= results/smoke

.PHONY: demo help test test-slow test-lowest lint format faults benchmarks benchmarks-gpu schemas clean
.DEFAULT_GOAL := demo

# uv installs in seconds where pip takes minutes; pip is the way out where uv cannot be had. Bytecode is made here, once:
# every job is a process that imports much of this, and where PYTHONDONTWRITEBYTECODE is set, each would make it anew.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv || true
	$(BIN)/python -m uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]' \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

help:  ## this list
	@awk -F ':.*## +' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(READY)  ## the smoke suite on photographs that ship with the packages, then its leaderboard
	$(BIN)/bench run smoke --out $(OUT)

test: $(READY)  ## all tests but the slow ones
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadgroup

test-slow: $(READY)  ## minutes each: the demo as a user runs it, the built wheel
	$(BIN)/python -m pytest -m slow

# Only uv can choose the lowest versions; what the direct dependencies pull in is as new as they allow.
test-lowest: $(READY)  ## unit tests and whole runs in a second environment: the lowest versions of pyproject.toml
	$(BIN)/python -m uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/python -m uv pip install --quiet --compile-bytecode --python $(LOWEST)/bin/python --resolution lowest-direct -e '.[dev]'
	$(LOWEST)/bin/python -m pytest -m "not slow" -n 2 --dist loadgroup \
	  tests/unit tests/calibration tests/flow/test_ray_pool.py tests/flow/test_mlflow.py

lint: $(READY)  ## style, types, import layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## rewrite the files in the style that lint wants, as far as a tool can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

faults: $(READY)  ## a hundred random faults over a run on a cluster of three nodes; a quarter of an hour and more
	$(BIN)/python -m tests.faults.campaign

benchmarks: $(READY)  ## every claim of speed, as a ratio measured side by side
	$(BIN)/python -m tests.benchmarks

benchmarks-gpu: $(READY)  ## what a GPU gains, with goals, in ten minutes: results/benchmarks-gpu/table.md
	$(BIN)/python -m tests.benchmarks.gpu

schemas: $(READY)  ## write results_schema/*.json anew from the models
	$(BIN)/bench check --json-schema > results_schema/suite.v1.json
	$(BIN)/python -m harness.records.schema > results_schema/record.v1.json

clean:  ## remove the environments, results/ and the caches of the tools
	rm -rf $(VENV) $(LOWEST) results .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis
