# Everything is installed in .venv; a second run of any target installs nothing.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
QUICKSTART := configs/quickstart.toml
SKILLS := runs/my-skills
# Tiny models gain nothing from threads, so each core runs tests of its own.
PYTEST := HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all lint docs bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.demo  ## compare three methods on four tasks, then learn two skills and ask
	$(BIN)/amlora run $(QUICKSTART) --method sin_lora
	$(BIN)/amlora run $(QUICKSTART)
	$(BIN)/amlora run $(QUICKSTART) --method anchored_lora
	$(BIN)/amlora report runs --out runs/report.html --force
	[ -d $(SKILLS)/versions/0001 ] || $(BIN)/amlora learn $(SKILLS) --task sms --data quickstart/sms --steps 25
	[ -d $(SKILLS)/versions/0002 ] || $(BIN)/amlora learn $(SKILLS) --task bbc --data quickstart/bbc --steps 25
	$(BIN)/amlora predict $(SKILLS) --task sms --explain "Congratulations! You have won a 1000 pound prize. Call 09061234567 now to claim it."

test: lint  ## lint, then the tests that take seconds
	$(PYTEST)

test-all: lint  ## lint, then every test
	$(PYTEST) -m ""

lint: .venv/.test  ## style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

docs: .venv/.docs  ## build the documentation into site/
	$(BIN)/mkdocs build --strict

bench: .venv/.test  ## measure speed and memory
	$(BIN)/python benchmarks/run.py

clean:  ## remove what the other targets made, except runs/
	rm -rf .venv site .pytest_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "amlora needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv

# One stamp for each set of extras, made again when the requirements change.
.venv/.demo: EXTRAS := quickstart
.venv/.test: EXTRAS := dev,data,peft,quickstart,slurm,ray,text
.venv/.docs: EXTRAS := docs

# torch goes first and alone, so that a build already at hand is kept by the second command.
.venv/.demo .venv/.test .venv/.docs: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) install -c constraints.txt torch==2.13.0
	$(PIP) install -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@
