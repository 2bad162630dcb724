# Every target makes what it needs, from a fresh clone on.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
OUTPUT ?= runs/demo

.PHONY: demo test test-mesh test-slow lint clean

demo: $(VENV)/.demo ## Train a tiny Primer on the demo text, draw, sample, export, serve
	$(BIN)/primer demo --output $(OUTPUT)

test: $(VENV)/.test lint ## The tests, on all three Keras backends
	$(BIN)/python -m pytest tests
	KERAS_BACKEND=jax $(BIN)/python -m pytest tests/layers tests/models/test_generate.py
	KERAS_BACKEND=torch $(BIN)/python -m pytest tests/layers tests/models/test_generate.py

test-slow: $(VENV)/.test ## What takes minutes
	$(BIN)/python -m pytest tests -m slow

test-mesh: $(VENV)/.test ## All tests of the T5 side
	$(BIN)/python -m pytest tests/mesh tests/tasks -m ""

lint: $(VENV)/.test
	$(BIN)/ruff check .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip setuptools

$(VENV)/.demo: $(VENV)/bin/python setup.py constraints.txt
	$(PIP) -e ".[demo]"
	touch $@

$(VENV)/.test: $(VENV)/.demo
	$(PIP) -e ".[demo,dev,t5]"
	# T5's metadata asks for nightly builds that break it; what it needs is in our [t5] extra.
	$(PIP) --no-deps t5
	touch $@

clean:
	rm -rf $(VENV) runs build *.egg-info
