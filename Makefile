# The one vocabulary of tasks, for people and for CI. `make help` lists them.

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := pyproject.toml constraints.txt

# What `make demo` installs, and what `make test` adds to it.
STACK_EXTRAS := cli,api,trainer
DEV_EXTRAS := $(STACK_EXTRAS),dev

DOCKERFILES := $(wildcard services/*/Dockerfile) mlflow/Dockerfile

# How many test files run at a time.
TEST_PROCESSES ?= 2
IN_PARALLEL := --numprocesses=$(TEST_PROCESSES) --dist=loadfile

.DEFAULT_GOAL := help
.PHONY: help demo up down logs install install-dev test coverage test-slow stack-test lint audit lint-images format dashboards bench clean

help: ## List the tasks.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: install ## Train, register and serve a model on this machine; Ctrl-C ends it.
	@$(BIN)/slipway up

up: ## Build and start the whole stack with Docker, and say where everything is.
	@SLIPWAY_GIT_COMMIT=$$(git describe --always --abbrev=40 --dirty --exclude='*' 2>/dev/null) docker compose build
	@services/compose/preflight.sh
	@began=$$(date +%s); \
	docker compose up --detach --wait --remove-orphans || ended=$$?; \
	docker compose logs --no-log-prefix --since=$$began secrets; \
	docker compose logs --no-log-prefix --since=$$began init | tail -6; \
	exit $${ended:-0}

down: ## End that stack; its data stays (docker compose down --volumes removes it).
	docker compose down --remove-orphans

logs: ## Follow what its services say.
	docker compose logs --follow --tail=100

install: $(VENV)/.stack ## Make .venv with what `make demo` needs.

install-dev: $(VENV)/.dev ## Make .venv with what the tests and checks need, too.

test: install-dev ## Run every test that needs no Docker and no patience.
	$(BIN)/pytest $(IN_PARALLEL)

coverage: install-dev ## Run the same tests, and fail where they leave too many branches out; takes twice as long.
	$(BIN)/pytest $(IN_PARALLEL) --cov --cov-report=term:skip-covered

test-slow: install-dev ## Run the tests that take longer.
	$(BIN)/pytest -m slow

stack-test: install-dev ## Prove the stack of docker compose, end to end, under a name and ports of its own.
	$(BIN)/pytest -m stack -rP

lint: install-dev ## Check style, types, layers and workflows.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet .github/workflows
	$(BIN)/hadolint $(DOCKERFILES)

audit: install-dev ## Check the pinned dependencies for known vulnerabilities.
	$(BIN)/python .ci/audit.py $(AUDIT)

lint-images: .venv-checkov ## Check the Dockerfiles and the compose file with tools of their own.
	.venv-checkov/bin/checkov --skip-download --quiet --compact --framework dockerfile \
		$(foreach file,$(DOCKERFILES),--file $(file))
	@if command -v docker >/dev/null; then docker compose config --quiet && echo "The compose file is in order."; \
		else echo "Docker is not installed here: the compose file is not checked."; fi

format: install-dev ## Format the code, and mend what can be mended.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dashboards: install-dev ## Write Grafana's dashboards from the code that makes them.
	PYTHONPATH=monitoring/grafana $(BIN)/python -m slipway_dashboards monitoring/grafana/dashboards

bench: install ## Measure starts, memory, a hot swap, and what a prediction costs, on this machine.
	$(BIN)/python -m benchmarks.embedded_stack
	$(BIN)/python -m benchmarks.hot_path

clean: ## Remove the virtual environment and the tools' caches.
	rm -rf $(VENV) .venv-checkov .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage*

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Slipway needs Python 3.11 or newer: install it, or name one with PYTHON=…"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "Making $(VENV) failed: on Debian and Ubuntu, install python3-venv first."; rm -rf $(VENV); exit 1; }

# It pins what it needs, of which some is not what the rest needs.
.venv-checkov:
	@$(PYTHON) -m venv $@ && $@/bin/python -m pip install --quiet --disable-pip-version-check checkov==3.3.30 || \
		{ rm -rf $@; exit 1; }

$(VENV)/.stack: $(SOURCES) | $(BIN)/python
	@echo "Installing the embedded stack into $(VENV); this takes a minute or two, once."
	@$(PIP_INSTALL) --editable ".[$(STACK_EXTRAS)]"
	@touch $@

$(VENV)/.dev: $(SOURCES) | $(BIN)/python
	@echo "Installing the development tools into $(VENV); this takes a minute or two, once."
	@$(PIP_INSTALL) --editable ".[$(DEV_EXTRAS)]"
	@touch $(VENV)/.stack $@
