# Needs Python 3.11, gcc and the package registry; everything else is installed into .venv on the first call.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# The build back end comes from constraints.txt too, which an isolated build would not look at.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
STAMP := $(VENV)/.installed
PACKAGES := relay_frontend hardware_profiles tvm_narcost
CHECKED := $(PACKAGES) $(wildcard bench) tests

# One module of tests/fuzz a reader.
FUZZ_TARGETS := $(subst /,.,$(basename $(wildcard tests/fuzz/fuzz_*.py)))

.PHONY: help setup demo test check format fuzz bench docs wheel clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP)  ## make .venv with everything that building and testing needs

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) hatchling editables
	$(PIP) --no-build-isolation -e '.[openvino,tvm,dev,postgresql]'
	@touch $@

demo: $(STAMP)  ## predict three networks, measure them here, print both
	$(BIN)/python -m bench.demo

test: check  ## check, then every test
	$(BIN)/python -m pytest

check: $(STAMP)  ## formatting, lint, types, layers
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports

format: $(STAMP)  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix $(CHECKED)
	$(BIN)/ruff format $(CHECKED)

fuzz: $(STAMP)  ## fuzz each reader for FUZZ_SECONDS, 60 by default
	$(PIP) atheris
	@for target in $(FUZZ_TARGETS); do echo "$$target"; $(BIN)/python -m $$target || exit 1; done

bench: $(STAMP)  ## speed of reading, tokens and prediction, into bench/results
	$(BIN)/python -m bench

docs: $(STAMP)  ## the documentation site, into site/
	$(PIP) --no-build-isolation -e '.[docs]'
	$(BIN)/mkdocs build --strict

wheel: $(STAMP)  ## the wheel and the source distribution, into dist/
	$(BIN)/python -m build --no-isolation

clean:  ## all that the other targets made, .venv included
	rm -rf $(VENV) dist build site .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks .import_linter_cache
