# The two commands of the README, and the two that keep the house in order. Each makes what it needs in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# What takes minutes of its own: recipes, models that are asked hundreds of questions, pages in a browser.
LONG := tests/test_cookbook.py tests/evaluate/test_general.py tests/evaluate/test_review_page.py \
    tests/local_engine/test_likelihood.py tests/sdk/test_comparison_browser.py

.PHONY: demo test long contract kills corpus check bench clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.local  ## tune the starter model and compare it with its base, offline
	$(BIN)/tuneport demo

test: $(VENV)/.dev  ## install and pass the tests
	$(BIN)/python -m pytest --ignore=tests/contract $(LONG:%=--ignore=%) $(PYTEST_ARGS)

long: $(VENV)/.dev  ## the tests that take minutes of their own: recipes, general ability, pages in a browser
	$(BIN)/python -m pytest $(LONG) $(PYTEST_ARGS)

contract: $(VENV)/.dev  ## one suite over every backend, kill -9 at many points included: some eight minutes
	$(BIN)/python -m pytest tests/contract $(PYTEST_ARGS)

kills: $(VENV)/.dev  ## 34 random kills for each backend
	TUNEPORT_KILLS=34 $(BIN)/python -m pytest tests/contract/test_kill.py

corpus: $(VENV)/.dev  ## recall and false alarms of the data checks
	$(BIN)/python -m tests.corpus

check: $(VENV)/.dev  ## everything that reads the code without running it
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: $(VENV)/.dev  ## figures: import time, demo time, memory by method
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tuneport needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# What the local engine needs and no more.
$(VENV)/.local: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[local]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[dev]'
	@touch $@ $(VENV)/.local
