# Every target creates what it needs (a virtual environment in .venv from hashed lock files) and is quick the second time.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.11; do $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
export RAI_HOME ?= $(CURDIR)/.rai
export DAGSTER_HOME = $(RAI_HOME)/dagster
export OMP_NUM_THREADS ?= 2
export PYTHONDONTWRITEBYTECODE =
TORCH_TESTS := rai_pipelines_tests/subjects/test_torch_networks.py rai_pipelines_tests/subjects/test_pt2_archive.py \
  rai_pipelines_tests/assessments/security/test_networks.py rai_pipelines_tests/assessments/verification/test_feedforward.py

.PHONY: help demo dev test test-all test-torch test-wandb lint format bench schemas lock screenshots clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: .make/main  ## Audit three real model versions, from registration to verdict
	$(BIN)/rai demo

dev: .make/main  ## Dagster UI and daemon on the demo's home (http://127.0.0.1:3000)
	$(BIN)/rai init
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/dg dev --host 127.0.0.1 --port $${PORT:-3000}

test: .make/dev lint  ## Lint, types, import directions, and the tests (pytest alone: without whole journeys and deployments)
	$(BIN)/python -m pytest -n 3 --dist loadfile -m "not slow"

test-all: .make/spark lint  ## The same with the slow suites, Spark among them
	command -v java >/dev/null || (apt-get update -q && apt-get install -qy default-jre-headless)
	$(BIN)/python -m pytest -n 3 --dist loadfile -m "slow or not slow" --cov --cov-report=term:skip-covered

test-wandb: .make/dev  ## The W&B adapter against the real package, which is installed for it
	$(BIN)/uv pip install --quiet --python $(BIN)/python 'wandb>=0.31'
	$(BIN)/python -m pytest -m "slow or not slow" rai_pipelines_tests/subjects/test_wandb_mapping.py rai_pipelines_tests/subjects/test_wandb_registry.py rai_pipelines_tests/integration/test_wandb.py

test-torch: .make/dev  ## Tests of networks against PyTorch, installed by pip (its CPU build; no lock file names it)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pytest -m "slow or not slow" $(TORCH_TESTS)

lint: .make/dev  ## ruff, mypy (strict), import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .make/dev  ## Let ruff arrange the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: .make/dev  ## Benchmarks against peers, with ratios
	$(BIN)/python -m benchmarks

schemas: .make/dev  ## Write the published JSON Schemas to docs/schemas
	$(BIN)/rai schemas --out docs/schemas

screenshots: .make/browser  ## Pictures of the Dagster UI on the demo's home, into docs/images
	command -v chromium >/dev/null || (apt-get update -q && apt-get install -qy chromium)
	$(BIN)/python docs/take_screenshots.py

lock: .make/uv  ## Resolve the dependencies anew
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade -q --extra dev pyproject.toml -o requirements/dev.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q --extra demo --extra build pyproject.toml -c requirements/dev.lock -o requirements/main.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q --extra dev --extra browser pyproject.toml -c requirements/dev.lock -o requirements/browser.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q --extra dev --extra spark --extra boosters pyproject.toml -c requirements/dev.lock -o requirements/spark.lock

clean:  ## Remove the environment and the demo's home
	rm -rf .venv .make .rai

.make/uv: requirements/uv.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; set PYTHON=/path/to/python"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	@mkdir -p .make && touch $@

.make/main .make/dev .make/browser .make/spark: .make/%: requirements/%.lock pyproject.toml .make/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r $<
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --offline -e .
	@mkdir -p .make && touch $@
