# The first hour of a developer: `make help`. Every target is a command that can be typed without make.
.DEFAULT_GOAL := help
VENV := .venv
PYTHON := $(VENV)/bin/python
T := tests

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1|/' | column -t -s '|'

setup: $(VENV)/bin/tox  ## make .venv with everything that development needs, and the commit hooks
	$(VENV)/bin/tox devenv -q -e dev $(VENV)
	$(VENV)/bin/pre-commit install

$(VENV)/bin/tox:
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet tox

servers:  ## install the database servers that the whole test suite starts (Debian, Ubuntu)
	$(PYTHON) -m tests.support.install

fast:  ## run the tests that need no server (under a minute)
	$(PYTHON) -m pytest -n 2 --sqlite-only -m "not slow"

test:  ## run some tests: make test T=tests/jobs, T="tests/stores -k claim", T=tests/cli/test_job.py::NAME
	$(PYTHON) -m pytest $(T)

test-all:  ## run what CI runs: every environment of tox
	$(VENV)/bin/tox run

lint:  ## check style, types and the direction of imports
	$(VENV)/bin/tox run -e lint

format:  ## format the code and sort the imports
	$(VENV)/bin/ruff check --select I --fix .
	$(VENV)/bin/ruff format .

docs:  ## build the documentation site strictly, into docs/_build/html
	$(VENV)/bin/tox run -e docs

types:  ## write the tables of docs/reference/types.md from the list that the tests prove
	$(PYTHON) -m tests.codec.table

bench:  ## run the benchmarks; B="drain --database sqlite" chooses some
	$(PYTHON) -m benchmarks $(B)

chaos:  ## kill and cut for C="--database postgres --minutes 10", then check the invariants
	$(PYTHON) -m tests.proof.chaos $(C)

clean:  ## remove what the targets above have built
	rm -rf docs/_build build dist .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

.PHONY: help setup servers fast test test-all lint format docs types bench chaos clean
