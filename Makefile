# make quickstart   a first study on this machine, no download but the packages
# make test         the tests, a quarter of an hour on two cores
# make test-systems   those on database servers, on a Ray cluster, under faults of many kinds and on more tasks, as long again
# make test-extended  the rest of them: the same promises by longer ways
# make chaos        a hundred faults over real studies, half an hour on two cores
# make check        lint, format and types
# make gpu-check    what is promised on a GPU, checked on this machine's
# make bench        what is claimed, measured
#
# PYTHON=python3.12 chooses the interpreter, VENV=folder the environment.

PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --disable-pip-version-check --quiet -c constraints.txt

.PHONY: quickstart test test-systems test-extended chaos check gpu-check bench clean

quickstart: $(VENV)/.installed
	$(RUN) studies/quickstart.py

# What kills processes and watches the clock runs first, without what is busy all the time beside it (pytest's exit status
# 5 says that there was none of it), in two processes, of one thread each, so that they share two cores; then the rest, in
# three, since one of them mostly waits. Files that take long begin first.
# Some machines forbid bytecode to be kept: then each of the hundreds of processes compiles hpsearch anew.
test test-systems test-extended chaos: export OMP_NUM_THREADS = 1
test test-systems test-extended chaos: export PYTHONDONTWRITEBYTECODE =

test: $(VENV)/.installed-dev
	$(RUN) -m pytest -n 2 --dist worksteal -m "chaos and not ray" || [ $$? -eq 5 ]
	$(RUN) -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not chaos and not extended and not ray and not faults and not servers and not long"

# Apart from the others, which so many processes would slow down: what runs on database servers and on Ray, the short form
# of `make chaos`, and the promises of `make test` on more tasks.
test-systems: $(VENV)/.installed-dev
	$(RUN) -m pytest -n 2 --dist loadfile -m "(ray or faults or servers or long) and not extended"

# What is too long for every change: the same promises by longer ways (real processes, notebooks, whole studies).
test-extended: $(VENV)/.installed-dev
	$(RUN) -m pytest -n 2 --dist loadfile -m extended

# Its short form, a few faults of many kinds, is among the tests of test-systems. SEED decides which fault comes when, and whom it hits.
SEED ?= 0
chaos: $(VENV)/.installed-dev
	$(RUN) tests/chaos/long_form.py --seed $(SEED)

check: $(VENV)/.installed-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

gpu-check: $(VENV)/.installed
	$(RUN) -m benchmarks.gpu_check

bench: $(VENV)/.installed
	$(RUN) -m benchmarks all

clean:
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are touched when everything is installed, and installing is repeated only when the files that say what
# is to be installed are newer. A half-made environment is removed, or it would be taken for a whole one.
$(RUN):
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(RUN)
	@echo "Installing hpsearch and what it needs into $(VENV); the first time takes some minutes."
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(RUN)
	@echo "Installing hpsearch and what its tests need into $(VENV); the first time takes some minutes."
	$(PIP) -e ".[dev]"
	@touch $(VENV)/.installed $@
