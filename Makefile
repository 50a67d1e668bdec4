# `make run` and `make test` install what they need themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run gateway test bench docs clean

help: ## list the commands
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.run ## install the dependencies and start the hub on http://localhost:5000 (another port: PORT=…)
	@$(BIN)/python -m tools.livekit_client || true
	@exec $(BIN)/python flask_server.py

gateway: $(VENV)/.run ## install the dependencies and start the gateway on http://localhost:8765 (another port: GATEWAY_PORT=…)
	@exec $(BIN)/python -m agent.gateway

test: $(VENV)/.test ## install the tools for the tests (Chromium, curl, Node), then lint, type-check and test
	@$(BIN)/python -m tests.toolchain
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
	@$(BIN)/python -m tests $(ARGS)

bench: $(VENV)/.bench ## benchmark the hub against nchan (needs root to install nginx and nchan), update docs/performance.md
	@$(BIN)/python -m bench $(ARGS)

docs: $(VENV)/.test ## regenerate the generated parts of README and docs
	@$(BIN)/python -m tools.docs

clean: ## remove the environment and build files (not the history in var/)
	rm -rf $(VENV) build *.egg-info

$(VENV)/bin/python:
	@echo "Creating the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "make: Python 3.11 or later with venv is required: on Debian, apt install python3-venv; for another Python, PYTHON=python3.12 make …"; rm -rf $(VENV); exit 1; }

# What each command installs. `fast` and `redact` are separate and optional: without a wheel, they need a compiler.
$(VENV)/.run: EXTRA := [local]
$(VENV)/.test: EXTRA := [test]
$(VENV)/.bench: EXTRA := [bench]
$(VENV)/.run $(VENV)/.test $(VENV)/.bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing the hub and the voice agent$(if $(filter %.run,$@),,, and the tools for make $(patsubst .%,%,$(notdir $@))) (once, up to two minutes)"
	@$(PIP) install -q -c constraints.txt -e '.$(EXTRA)'
	@$(PIP) install -q -c constraints.txt -e '.[fast]' >/dev/null 2>&1 || \
	  echo "gunicorn's C parser could not be built (apt install gcc python3-dev). It is optional: without it, POSTs take slightly longer"
	@$(PIP) install -q -c constraints.txt -e '.[redact]' >/dev/null 2>&1 || \
	  echo "RE2 could not be installed. It is optional: HUB_REDACT needs it for account and for patterns of your own"
	@touch $@ $(VENV)/.run
