# All development tasks; CI runs the same targets. `make help` lists them.

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := pyproject.toml constraints.txt

# The extras that `make demo` installs, and those that `make test` installs.
STACK_EXTRAS := cli,api,trainer
DEV_EXTRAS := $(STACK_EXTRAS),boosting,dev

DOCKERFILES := $(wildcard services/*/Dockerfile) mlflow/Dockerfile

# Number of test files that run in parallel.
TEST_PROCESSES ?= 2
IN_PARALLEL := --numprocesses=$(TEST_PROCESSES) --dist=loadfile

.DEFAULT_GOAL := help
.PHONY: help demo up down logs install install-dev test coverage test-slow stack-test lint audit lint-images format dashboards bench clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: install ## Train, promote and serve a model on this machine, without Docker; Ctrl-C stops it.
	@$(BIN)/slipway up

up: ## Build and start the Docker stack, wait until it is healthy, and print the addresses.
	@SLIPWAY_GIT_COMMIT=$$(git describe --always --abbrev=40 --dirty --exclude='*' 2>/dev/null) docker compose build
	@services/compose/preflight.sh
	@began=$$(date +%s); \
	docker compose up --detach --wait --remove-orphans || ended=$$?; \
	docker compose logs --no-log-prefix --since=$$began secrets; \
	docker compose logs --no-log-prefix --since=$$began init | tail -6; \
	exit $${ended:-0}

down: ## Stop the Docker stack and keep its data (docker compose down --volumes deletes it).
	docker compose down --remove-orphans

logs: ## Follow the logs of the Docker stack.
	docker compose logs --follow --tail=100

install: $(VENV)/.stack ## Create .venv with the dependencies of `make demo`.

install-dev: $(VENV)/.dev ## Create .venv with the dependencies of the tests and checks as well.

test: install-dev ## Run the tests that need no Docker; takes a few minutes.
	$(BIN)/pytest $(IN_PARALLEL)

coverage: install-dev ## Run the same tests and check branch coverage; takes twice as long.
	$(BIN)/pytest $(IN_PARALLEL) --cov --cov-report=term:skip-covered

test-slow: install-dev ## Run the tests that take longer.
	$(BIN)/pytest -m slow

stack-test: install-dev ## Test the Docker stack end to end, with a separate name and ports.
	$(BIN)/pytest -m stack -rP

lint: install-dev ## Check style, types, import contracts, wording, workflows and Dockerfiles.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/phrases.py
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet .github/workflows
	$(BIN)/hadolint $(DOCKERFILES)

audit: install-dev ## Check the pinned dependencies for known vulnerabilities.
	$(BIN)/python .ci/audit.py $(AUDIT)

lint-images: .venv-checkov ## Check the Dockerfiles with checkov, and validate the compose file.
	.venv-checkov/bin/checkov --skip-download --quiet --compact --framework dockerfile \
		$(foreach file,$(DOCKERFILES),--file $(file))
	@if command -v docker >/dev/null; then docker compose config --quiet && echo "The compose file is valid."; \
		else echo "Docker is not installed: skipped the check of the compose file."; fi

format: install-dev ## Format the code and apply automatic fixes.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dashboards: install-dev ## Generate Grafana's dashboards from their Python code.
	PYTHONPATH=monitoring/grafana $(BIN)/python -m slipway_dashboards monitoring/grafana/dashboards

bench: install ## Measure start times, memory, hot swap and prediction latency on this machine.
	$(BIN)/python -m benchmarks.embedded_stack
	$(BIN)/python -m benchmarks.hot_path
	PYTHONPATH=tests $(BIN)/python -m benchmarks.tables

clean: ## Delete the virtual environments and the tools' caches.
	rm -rf $(VENV) .venv-checkov .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage*

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Slipway needs Python 3.11 or newer: install it, or set PYTHON to its path, as in make PYTHON=…"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "Cannot create $(VENV): on Debian and Ubuntu, install python3-venv first."; rm -rf $(VENV); exit 1; }

# checkov pins dependencies that conflict with those of the other tools, so it has its own environment.
.venv-checkov:
	@$(PYTHON) -m venv $@ && $@/bin/python -m pip install --quiet --disable-pip-version-check checkov==3.3.30 || \
		{ rm -rf $@; exit 1; }

$(VENV)/.stack: $(SOURCES) | $(BIN)/python
	@echo "Installing Slipway into $(VENV); this takes one or two minutes, and runs only once."
	@$(PIP_INSTALL) --editable ".[$(STACK_EXTRAS)]"
	@touch $@

$(VENV)/.dev: $(SOURCES) | $(BIN)/python
	@echo "Installing the development tools into $(VENV); this takes one or two minutes, and runs only once."
	@$(PIP_INSTALL) --editable ".[$(DEV_EXTRAS)]"
	@touch $(VENV)/.stack $@
