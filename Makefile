# Two commands for a new user: `make demo` and `make test`. Everything lives in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test coverage lint format bench fuzz clean

demo: .venv/core
	rm -rf cocoop-demo
	$(BIN)/cocoop demo --out cocoop-demo

test: .venv/dev
	$(BIN)/python -m pytest -q -n auto --dist loadfile

coverage: export COVERAGE_FILE := $(CURDIR)/.coverage
coverage: .venv/dev  # commands in other folders write there, too
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q -n auto --dist loadfile
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --skip-covered

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/core
	$(BIN)/cocoop bench

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/core: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

.venv/dev: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev]"
	touch $@ .venv/core

fuzz: .venv/dev
	PYTHONPATH=. $(BIN)/python -m tools.fuzz --out benchmarks/results/fuzz.md

clean:
	rm -rf .venv build dist cocoop-demo
