# Verbs for people. Each creates what it needs; nothing has to be installed by hand but Python >= 3.11 and make.
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.14 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PORT ?= 8700
# On two cores. Tests wait, and work: twice as many side by side stand in each other's way (a half longer, measured).
WORKERS ?= 4
SEEDS ?= 7
# Of `make fuzz`: another seed, other bodies.
SEED ?= 0
BODIES ?= 1000000
# The sandbox beside the bot keeps all that was ever said to it: of many more the limit of memory would speak of the sandbox.
FLOOD ?= 15000

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-quick check bench faults fuzz docs lock clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | awk -F '\t' '{printf "  make %-12s %s\n", $$1, $$2}'

.venv/made:
	@test -n "$(PYTHON)" || { echo "Firstfive needs Python 3.11 or newer; none was found. Name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "Python's venv module is missing. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@touch $@

.venv/run: .venv/made requirements.lock pyproject.toml
	@echo "Installing what the bot runs on (hash-pinned) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev: .venv/run requirements-dev.lock
	@echo "Installing what the tests and checks need (hash-pinned) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

setup: .venv/dev ## .venv with everything, from the lock files

demo: .venv/run ## the whole thing in a browser, with a local Slack and PagerDuty; no account (PORT=8700)
	@exec $(BIN)/python -m sandbox --port $(PORT)

test: .venv/dev ## all tests, on SQLite and PostgreSQL
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-quick: .venv/dev ## the pure rules only; seconds
	@$(BIN)/python -m pytest -q tests/alerts tests/incidents tests/metrics tests/test_digest.py tests/test_journal.py tests/test_runbooks.py tests/test_postmortems.py

check: .venv/dev ## style, types, architecture, lock files, documents
	@$(BIN)/python -m tests.checks

bench: .venv/dev ## how fast, each figure beside this machine's own floor; writes docs/performance.md (a quarter of an hour)
	@$(BIN)/python -m tests.bench --write docs/performance.md

faults: .venv/dev ## kill real processes and break all around them; writes docs/reliability.md (SEEDS=7, hours; goes on where it was)
	@$(BIN)/python -m tests.faults --seeds $(SEEDS) --ledger docs/reliability.jsonl --write docs/reliability.md

# Atheris has no wheels for some machines: then all bodies are drawn, and it says so.
.venv/fuzz: .venv/dev requirements-fuzz.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements-fuzz.lock || \
		echo "No wheel of Atheris for this machine and this Python; the bodies that find their own way are drawn instead."
	@touch $@

fuzz: .venv/fuzz ## a million bodies with something wrong in them, to every source, for each night (SEED=0 BODIES=1000000)
	@$(BIN)/python -m tests.fuzz --engine all --bodies $(BODIES) --flood $(FLOOD) --seed $(SEED) --seconds 7200 --keep

docs: .venv/dev ## write the generated parts of docs/ anew
	@$(BIN)/python -m tests.checks --write

lock: .venv/dev ## resolve the lock files anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --no-annotate --python-version 3.11 pyproject.toml -o requirements.lock
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --group pyproject.toml:fuzz -o requirements-fuzz.lock

clean: ## remove what these verbs made
	@rm -rf .venv .demo .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
