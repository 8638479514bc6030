# alignwatch: `make run` shows it working, `make test` proves it. Both set up all they need.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data
TRAIN_VENV := .venv-train
PORT ?= 8077
WORKERS ?= 2

.PHONY: help run install test servers lint types unit faults bench bench-detection card teach train train-smoke clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

run: $(VENV)/.run-time ## install into a venv and start the demo; prints the page's address
	$(BIN)/alignwatch demo --port $(PORT)

install: $(VENV)/.run-time ## install into a venv

test: $(VENV)/.tests servers lint types unit ## fetch what the tests need, then run everything

servers: ## Kafka, a JDK, Chromium, promtool: what the integration tests start
	sh tests/servers.sh

lint: $(VENV)/.tests ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.tests ## mypy --strict on the packages
	$(BIN)/mypy

unit: $(VENV)/.tests ## the test suite, on two workers (WORKERS=0: in one process)
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

faults: $(VENV)/.tests servers ## 50 faults in a stream of 200,000 exchanges; what is left must equal an undisturbed run
	$(BIN)/python tests/faults/fault_run.py

bench: $(VENV)/.tests ## speed and memory, as ratios against a yardstick in the same run
	for one in tests/bench/[a-z]*.py; do echo "== $$one"; $(BIN)/python $$one || exit 1; done

bench-detection: $(VENV)/.tests ## delay and run length against the optimum and the peers
	$(BIN)/python tests/bench/detection.py

card: $(TRAIN_VENV)/.train ## score the shipped classifier on dev and check every figure of its card (needs the labelled pairs)
	$(TRAIN_VENV)/bin/python -m classifiers.training card

teach: $(TRAIN_VENV)/.train ## make the ensemble's opinions on the labelled pairs anew (wants a GPU, and Maven for an encoder)
	$(TRAIN_VENV)/bin/python -m classifiers.training teach

train: $(TRAIN_VENV)/.train ## train, calibrate and export the classifier from the labelled pairs
	$(TRAIN_VENV)/bin/python -m classifiers.training run

train-smoke: $(TRAIN_VENV)/.train ## a minute of training, export, reload, same labels
	$(TRAIN_VENV)/bin/python -m classifiers.training smoke

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("alignwatch needs Python 3.11 or later, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); sh tests/apt.sh python3-venv && $(PYTHON) -m venv $(VENV); }

$(VENV)/.run-time: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.tests: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/.run-time

$(TRAIN_VENV)/.train: pyproject.toml
	$(PYTHON) -m venv $(TRAIN_VENV)
	$(TRAIN_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[train,test]'
	@touch $@

clean: ## remove what was installed and built here
	rm -rf $(VENV) $(TRAIN_VENV) .cache build *.egg-info
