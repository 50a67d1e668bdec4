# The two commands of the README are `make run` and `make test`; each does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test check bench docs clean

help: ## what there is
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.run ## install what the hub needs, then start it on http://localhost:5000 (PORT=… for another port)
	@$(BIN)/python -m tools.livekit_client || true
	@exec $(BIN)/python flask_server.py

test: $(VENV)/.test ## install what the tests need (Chromium, curl, Node), then lint, type-check and test
	@$(BIN)/python -m tests.toolchain
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
	@$(BIN)/python -W error::SyntaxWarning -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

bench: $(VENV)/.bench ## measure the hub beside nchan (root: installs nginx and nchan), write docs/performance.md
	@$(BIN)/python -m bench $(ARGS)

docs: $(VENV)/.run ## write the generated parts of README and docs anew
	@$(BIN)/python -m tools.docs

clean: ## remove what make has made (not the history in var/)
	rm -rf $(VENV) build *.egg-info

$(VENV)/bin/python:
	@echo "Making the virtual environment $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "make: needs Python 3.11 or later with venv (Debian: apt install python3-venv), or PYTHON=python3.12 make …"; rm -rf $(VENV); exit 1; }

# What each command installs. `fast` is tried apart: without a wheel of it for this machine it needs a C compiler.
$(VENV)/.run: EXTRA := [local]
$(VENV)/.test: EXTRA := [test]
$(VENV)/.bench: EXTRA := [bench]
$(VENV)/.run $(VENV)/.test $(VENV)/.bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing the hub, the voice agent$(if $(filter %.run,$@),, and what make $(patsubst .%,%,$(notdir $@)) needs) (two minutes at the most, once)"
	@$(PIP) install -q -c constraints.txt -e '.$(EXTRA)'
	@$(PIP) install -q -c constraints.txt -e '.[fast]' >/dev/null 2>&1 || \
	  echo "gunicorn's parser in C could not be built here (apt install gcc python3-dev): all works without it, a POST takes a little longer"
	@touch $@ $(VENV)/.run
