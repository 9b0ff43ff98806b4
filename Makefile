BIN := .venv/bin
# The Pythons that the lock file is for.
FITS := import sys; sys.exit(sys.version_info[:2] not in [(3, 11), (3, 12), (3, 13)])
# The first that runs, since a shim of pyenv on the PATH may not. That of an environment that was begun goes first.
PYTHON ?= $(or $(shell for python in $(BIN)/python python3.11 python3.12 python3.13 python3; do \
	$$python -c '$(FITS)' 2> /dev/null && echo $$python && break; done),python3)
# uv takes a package whose installation was killed for a whole one, and leaves it to the first import to compile.
UV := uv pip install --python $(BIN)/python \
	$(if $(wildcard .venv),--reinstall) $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode)
PIP := $(BIN)/python -m pip install --disable-pip-version-check
CORES ?= all
# More than cores: tests that start Snakemake wait for it half of the time.
WORKERS ?= 3
DEMO := results/demo

# One target at a time: tests run side by side as it is.
.NOTPARALLEL:
.PHONY: demo test test-slow test-slurm test-all ci lint format docs

# One environment from the lock file; made again when that changes.
.venv/installed: requirements.lock
	@$(PYTHON) -c '$(FITS)' 2> /dev/null || \
		{ echo "make: $(PYTHON) is not Python 3.11, 3.12 or 3.13; install one, or name it with make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(if $(shell uv --version 2> /dev/null),$(UV),$(PIP)) --quiet -r requirements.lock
	touch $@

demo: .venv/installed
	PYTHONPATH=workflow/plugins $(BIN)/snakemake --logger words --configfile config/demo.yaml --profile profiles/cpu --cores $(CORES)
	@echo "Putting figures, tables and images into one page"
	@$(BIN)/snakemake --configfile config/demo.yaml --report $(DEMO)/report.html --quiet all
	@echo
	@cat $(DEMO)/headline.txt
	@echo
	@echo "The whole answer:     $(DEMO)/summary.md; with all figures and images: $(DEMO)/report.html"
	@echo "A picture to open:    $(DEMO)/pools/phantom/random/small/comparison_PNEUMONIA.png (originals, synthetic images)"
	@echo "With your own images: write mine.yaml (README.md, \"Your own images\"), then"
	@echo "                      $(BIN)/snakemake check --configfile mine.yaml"

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

docs: .venv/installed
	PYTHONPATH=workflow/scripts $(BIN)/python -m radsynth.study.document > config/README.md

# Files in the order of their names: studies first, so that no worker is left with a long one at the end.
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

test: lint
	$(PYTEST) -m "not slow"

test-slow: .venv/installed
	$(PYTEST) -m slow --ignore tests/slurm

# Alone, because its trainings must be in their middle when their walltime ends.
test-slurm: .venv/installed
	$(BIN)/python -m pytest tests/slurm

test-all: test test-slow

# What CI runs, one after the other, within 75 minutes on two cores; make names the one that fails.
ci: test test-slow test-slurm
