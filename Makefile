# `make demo` and `make test` do all their own set-up: a virtual environment in .venv from constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= results/smoke

.PHONY: demo test test-slow lint benchmarks schemas clean
.DEFAULT_GOAL := demo

# uv installs in seconds where pip takes minutes; pip is the way out where uv cannot be had.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv || true
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]' \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)  ## the smoke suite on photographs that ship with the packages, then its leaderboard
	$(BIN)/bench run smoke --out $(OUT)

test: $(READY)  ## all tests but the slow ones
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadgroup

test-slow: $(READY)  ## minutes each: the demo as a user runs it, the built wheel
	$(BIN)/python -m pytest -m slow

lint: $(READY)  ## style, types, import floors
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

benchmarks: $(READY)  ## every claim of speed, as a ratio measured side by side
	$(BIN)/python -m tests.benchmarks

schemas: $(READY)  ## write results_schema/*.json anew from the models
	$(BIN)/bench check --json-schema > results_schema/suite.v1.json
	$(BIN)/python -m harness.records.schema > results_schema/record.v1.json

clean:
	rm -rf $(VENV) results .mypy_cache .ruff_cache .pytest_cache .hypothesis
