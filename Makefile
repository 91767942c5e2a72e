SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.stamp-dev
DEMO_STAMP := $(VENV)/.stamp-demo
# Two tests a core, as many wait for clocks and servers; each worker has servers of its own, about half a gigabyte.
WORKERS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((cores < 4 ? 2 * cores : 8)))

.PHONY: help demo test lint bench docs clean setup tools demo-tools

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## a Postgres, some queues, the exporter, an incident and its alert; Ctrl-C ends it all
	@$(MAKE) --silent --jobs=2 $(DEMO_STAMP) demo-tools
	@exec $(VENV)/bin/pgqueue-exporter demo $(ARGS)

test: $(STAMP) tools ## all tests, on servers of their own (ARGS="-k name" for some)
	@$(PY) -m pytest --numprocesses $(WORKERS) --dist worksteal $(ARGS)

lint: $(STAMP) ## ruff, mypy --strict and the import floors
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

bench: $(STAMP) tools ## the measurements of benchmarks/
	@exec $(PY) benchmarks/run.py $(ARGS)

docs: $(STAMP) tools ## renew what is generated: pages and schemas in docs/, the rules
	@exec $(PY) tests/renew.py

setup: $(STAMP) tools ## only set up .venv and .tools

tools:
	@.ci/tools

# Without them the demo says what it lacks, and goes on.
demo-tools:
	@.ci/demo || true

clean: ## remove .venv, .tools, caches and builds
	rm -rf $(VENV) .tools build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not here: install Python 3.11 or newer, or say PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $$($(PYTHON) --version) is too old: Python 3.11 or newer is needed (PYTHON=/path/to/python3)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: this Python cannot make virtual environments: install its venv package (Debian, Ubuntu: python3-venv)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml | $(PY)
	@echo "make: installing into $(VENV)"
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(DEMO_STAMP)

$(DEMO_STAMP): pyproject.toml | $(PY)
	@echo "make: installing into $(VENV)"
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@
