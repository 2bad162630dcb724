# Every target makes what it needs, from a fresh clone on.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadgroup
OUTPUT ?= runs/demo
STEPS ?= 400

.PHONY: help demo test test-mesh test-slow parity bench lint typecheck imports docs clean
.DEFAULT_GOAL := help

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Train a tiny Primer on the demo text, draw, sample, export, serve
	$(BIN)/primer demo --output $(OUTPUT) --steps $(STEPS)

test: $(VENV)/.test lint docs ## The tests on all three Keras backends, lint and docs
	$(PYTEST) tests
	KERAS_BACKEND=jax $(PYTEST) tests/layers tests/models/test_generate.py tests/models/test_fused_loss.py
	KERAS_BACKEND=torch $(PYTEST) tests/layers tests/models/test_generate.py tests/models/test_fused_loss.py

test-slow: $(VENV)/.test ## What takes minutes
	$(PYTEST) tests -m slow

test-mesh: $(VENV)/.test ## All tests of the T5 side
	$(PYTEST) tests/mesh tests/tasks -m ""

parity: $(VENV)/.test ## Both engines on every published gin file, a row for each
	$(BIN)/python -m tests.convert.parity

ROUNDS = 5
bench: $(VENV)/.test benchmarks/.venv/.done ## Against peers, in alternation; on a machine with nothing else to do
	for benchmark in train_step parts memory_parts length_and_vocabulary generate decoding_parts score engines startup; do \
	  $(BIN)/python benchmarks/$$benchmark.py --rounds $(ROUNDS) || exit 1; \
	done

benchmarks/.venv/.done: benchmarks/requirements.txt
	$(PYTHON) -m venv benchmarks/.venv
	benchmarks/.venv/bin/python -m pip --disable-pip-version-check install --quiet -r $<
	touch $@

lint: $(VENV)/.test typecheck imports ## Style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: $(VENV)/.test ## mypy
	$(BIN)/mypy

imports: $(VENV)/.test ## import-linter, on the package as a wheel has it
	$(PYTHON) docs/hooks/build_sources.py build/sources
	cd build/sources && $(abspath $(BIN))/lint-imports --no-logo --no-cache $(CURDIR)/pyproject.toml

# The tools have an environment of their own: they read docstrings and import nothing of ours.
docs: build/docs_venv/.done ## The pages of docs/, into build/docs; warnings are errors
	NO_MKDOCS_2_WARNING=1 PATH="build/docs_venv/bin:$$PATH" mkdocs build --quiet

build/docs_venv/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv build/docs_venv
	build/docs_venv/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt --upgrade pip
	build/docs_venv/bin/python -m pip --disable-pip-version-check install --quiet -c constraints.txt --group docs
	touch $@

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip setuptools

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml setup.py constraints.txt
	$(PIP) -e ".[demo]"
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(PIP) -e ".[demo,dev,t5]"
	# T5's metadata asks for nightly builds that break it; what it needs is in our [t5] extra.
	$(PIP) --no-deps t5
	touch $@

clean: ## Removes environments and everything built
	rm -rf $(VENV) runs build *.egg-info
