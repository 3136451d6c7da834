# Every target works on a fresh machine with Python 3.11 or later, gcc and make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup browser demo results docs bench test test-slow kills soak wheel-test dist lint audit fuzz format clean

help:            ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(READY)  ## .venv with gaard and the tools of its developers

$(READY): pyproject.toml constraints.txt
	@echo "installing gaard and its tools into .venv: one to four minutes"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup      ## PPO and GAA in a scenario with a hack, with the model that ships with gaard: 4 minutes on 2 cores, no network
	$(BIN)/gaard compare --scenario capped --arms ppo,gaa-expected --seeds 3 --jobs 2 --out runs/demo

results: setup browser  ## every table and figure of the docs again, from the runs in studies/
	$(BIN)/python -m studies.results

bench: setup     ## what gaard costs against what it could and what others do; ROWS=name,… for some of it
	$(BIN)/python -m benchmarks $(ROWS)

# The tests of the page open it in Chromium.
browser:         ## Chromium, where there is none: from Debian's packages, as root
	@command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null || [ -n "$$CHROMIUM" ] || \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	  echo "no Chromium and no way to install it here: the tests of the page will say so"

# One thread a process: the models of the tests are so small that threads only get in each other's way.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal
test: setup browser  ## every test but the slow ones and those that install other trainers, two at a time
	$(PYTEST) -m 'not trainers and not slow'

test-slow: setup browser  ## the slow ones: whole trainings, Ray, several processes, notebooks
	$(PYTEST) -m 'slow and not trainers'

# What takes too long for every day; docs/reliability.md has the figures of the last time.
kills: setup     ## 200 runs and studies killed at random moments, compared with the undisturbed one; KILLS=n SEED=n for others
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore tests/faults/killing.py $(or $(KILLS),200) $(or $(SEED),0)

soak: setup      ## 10,000 steps, and two studies of 200 runs: memory, file handles, disk; STEPS=n RUNS=n for others
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore tests/soak.py $(or $(STEPS),10000) $(or $(RUNS),200)

# Several Pythons under pyenv: PYENV_VERSION=3.11.7:3.12.1:3.13.0 make wheel-test
PYTHONS ?= 3.11 3.12 3.13
wheel-test: setup  ## the wheel in clean environments, the core alone and all of it; PYTHONS="3.12" for one
	$(BIN)/python scripts/wheel_test.py $(PYTHONS)

dist: setup      ## wheel and sdist, in dist/
	$(BIN)/python -m hatchling build --clean

lint: setup      ## style, types, and the one way of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Tools that gaard does not need, away from what it needs; pip-audit asks pypi.org what is known of each version.
AUDIT := .venv-audit
audit:           ## known weaknesses of what is installed, and bandit on src
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/pip install --quiet 'pip-audit>=2.7,<3' 'bandit[toml]>=1.8,<2'
	$(AUDIT)/bin/bandit --quiet --recursive --configfile pyproject.toml src
	$(AUDIT)/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

MINUTES ?= 20
fuzz: setup      ## bad input for every reader; MINUTES=60 for an hour
	OMP_NUM_THREADS=1 $(BIN)/python -m fuzz --minutes $(MINUTES)

format: setup    ## what lint asks for, where a tool can do it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup      ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:           ## forget the environment and all caches
	rm -rf .venv .venv-audit .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache site
