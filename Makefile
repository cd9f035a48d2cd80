# The two commands of the README: `make demo` and `make test`. Each does all of its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Without --no-compile pip would compile every module of every package, one after the other.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
# What pip did not compile is kept by whoever imports it first, also where the environment says otherwise: the
# tests start hundreds of processes, and one that compiles everything anew needs three times the processor time.
export PYTHONDONTWRITEBYTECODE :=
NODE_STAMP := $(VENV)/.installed-node
TEST_STAMP := $(VENV)/.installed-test
# The inference server's own environment: its python backend needs another numpy than the node.
TRITON_STAMP := .venv-triton/installed-pins.sha256
SOURCES := node trainer tests benchmarks
# One more than there are cores: many tests wait, for a peer, a server or a quiet time.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

.PHONY: demo test test-all faults validators parity lint types imports compiled system-packages all-system-packages triton-env docs clean

demo: $(NODE_STAMP)
	$(BIN)/groundglass demo $(DEMO_ARGS)

test: $(TEST_STAMP) system-packages
	@$(MAKE) --no-print-directory --jobs 4 types triton-env compiled lint imports
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "not long and not faults"

test-all: $(TEST_STAMP) all-system-packages
	@$(MAKE) --no-print-directory --jobs 4 types triton-env compiled lint imports
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "not faults"

# What the node bears: killed processes, full and failing disks, hostile peers, any bytes at all.
faults: $(TEST_STAMP) all-system-packages
	$(BIN)/python -m pytest -q -n logical --dist worksteal tests/faults

# Every kind of result before validators and in viewers of other makers.
validators: $(TEST_STAMP) all-system-packages
	$(BIN)/python -m pytest -q -n logical --dist loadscope tests/validators tests/viewers

parity: $(TEST_STAMP)
	$(BIN)/python -m tests.parity $(PARITY_ARGS)

lint: $(TEST_STAMP)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: $(TEST_STAMP)
	$(BIN)/mypy

imports: $(TEST_STAMP)
	$(BIN)/lint-imports --no-cache

# Every module that the tests import, compiled once beside the checks instead of by each process of tests at
# once. What cannot be imported is told by the tests themselves.
compiled: $(TEST_STAMP)
	@$(BIN)/python -m pytest --quiet --collect-only >/dev/null 2>&1 || true

docs: $(TEST_STAMP)
	$(BIN)/python -m node.cli.reference
	$(BIN)/python -m trainer.cli.reference

system-packages:
	@tests/system-packages.sh

all-system-packages:
	@tests/system-packages.sh all

triton-env: $(TRITON_STAMP)

$(TRITON_STAMP): node/infer/triton-constraints.txt | $(TEST_STAMP)
	$(BIN)/groundglass triton install --environment $(@D)
	@touch $@

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Groundglass needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(NODE_STAMP): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable .
	@touch $@

# torch is named with its version: the wheel for CPUs where one is offered, and never a newer, larger build.
$(TEST_STAMP): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[trainer,int8,test]'
	@touch $@ $(NODE_STAMP)

clean:
	rm -rf $(VENV) .venv-parity .venv-triton .triton build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
