# Everything a newcomer or CI needs; `make help` lists it.
# Options are passed on by ARGS, for example: make demo ARGS="--merchants 50 --duration 20"
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
RUNTIME := .venv/.runtime-installed
DEVELOPMENT := .venv/.development-installed

.PHONY: help install demo test check format documents requirements bench backtest-outcomes clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

install: $(RUNTIME) ## Create .venv with what a run needs

demo: $(RUNTIME) ## Merchants, payments and moving limits in the terminal (ARGS="--help")
	$(BIN)/duoshou demo $(ARGS)

bench: $(RUNTIME) ## duoshou bench, for example ARGS="throughput --broker apache"
	$(BIN)/duoshou bench $(ARGS)

backtest-outcomes: $(DEVELOPMENT) ## What learning is worth on real data: TRAIN=DIR SCORE=DIR
	$(if $(and $(TRAIN),$(SCORE)),,$(error say both folders: make backtest-outcomes TRAIN=DIR SCORE=DIR))
	@$(BIN)/python -m tests.backtest.outcomes $(TRAIN) $(SCORE)

test: $(DEVELOPMENT) ## All tests (the slow ones start a real Apache Kafka: java and mvn)
	$(BIN)/pytest $(ARGS)

check: $(DEVELOPMENT) ## Format, lint, types, layers: what CI checks before the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	.ci/rules

format: $(DEVELOPMENT) ## Let ruff put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

documents: $(DEVELOPMENT) ## Write the generated pages and schemas anew
	.ci/documents

# uv resolves for every supported Python at once; the files name no registry, so pip's own
# configuration decides where the packages come from.
requirements: $(DEVELOPMENT) ## Pin the newest allowed versions in requirements*.txt
	.ci/requirements

clean: ## Remove .venv and every cache in the tree
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	$(PYTHON) -m venv .venv

# The kernels are compiled once here (numba caches them), so that the first demo starts at once.
define install_project
	$(BIN)/python -m pip install --quiet --require-hashes -r $(1)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	$(if $(wildcard streams/compile_kernels.py),$(BIN)/python -m streams.compile_kernels)
endef

$(RUNTIME): requirements.txt pyproject.toml | .venv/bin/python
	$(call install_project,requirements.txt)
	touch $@

$(DEVELOPMENT): requirements-dev.txt pyproject.toml | .venv/bin/python
	$(call install_project,requirements-dev.txt)
	touch $@ $(RUNTIME)
