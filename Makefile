# Two commands do all the set-up, in a virtual environment beside this file:
#   make demo     build fastsm and run it on a model that comes with it
#   make test     install what the tests need, TensorFlow included, and run everything
# A developer's own, once that is there:
#   make quick    rebuild what changed, run the tests that do not start TensorFlow
#   make core | fuzz | lint | types | pytest | dist | clean
# PYTHON names the interpreter; without it the first of these that is 3.10 to 3.13 is taken.
PYTHON ?=
PYTHONS = $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.10 python)
VENV ?= .venv
FUZZ_SECONDS ?= 20
PYTEST ?=

BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
CORE = $(wildcard csrc/*.c csrc/*.h fastsm/*.pyx fastsm/*.pxi fastsm/*.pxd)
MODEL = examples/ranker/1

.NOTPARALLEL:
.PHONY: demo test core fuzz lint types pytest quick dist clean

demo: $(VENV)/built
	@echo
	@echo "--- What is in a model that TensorFlow wrote, and which call loads it."
	@echo '$$ fastsm show $(MODEL)'
	@$(BIN)/python -m fastsm show $(MODEL)
	@echo
	@echo "--- Give it another tag set. A dry run first: it prints what the edit would do."
	@echo '$$ fastsm retag $(MODEL) serve serve,gpu --dry-run'
	@$(BIN)/python -m fastsm retag $(MODEL) serve serve,gpu --dry-run
	@echo
	@echo "--- The same for real, into a folder of its own: the model above stays as it is."
	@rm -rf build/demo && mkdir -p build/demo
	@echo '$$ fastsm retag $(MODEL) serve serve,gpu --out build/demo/2'
	@$(BIN)/python -m fastsm retag $(MODEL) serve serve,gpu --out build/demo/2
	@echo
	@echo "--- What came of it, with every hash of its fingerprint computed."
	@echo '$$ fastsm show build/demo/2 --fingerprint'
	@$(BIN)/python -m fastsm show build/demo/2 --fingerprint
	@echo
	@echo "--- What would be left of it if only serving mattered."
	@echo '$$ fastsm strip-training-graph $(MODEL) --dry-run'
	@$(BIN)/python -m fastsm strip-training-graph $(MODEL) --dry-run
	@echo
	@echo "The command is $(BIN)/fastsm. Try: $(BIN)/fastsm show PATH/TO/YOUR/MODEL"

# All of it, whatever fails on the way; pytest last, so that its last line is the last.
test:
	@failed=; for part in core fuzz lint types pytest; do \
	  $(MAKE) --no-print-directory $$part || failed="$$failed $$part"; \
	done; \
	if [ -n "$$failed" ]; then echo "make test: failed:$$failed" >&2; exit 1; fi

core:
	@echo "--- core: the C tests, under AddressSanitizer and UBSan"
	@$(MAKE) --silent --no-print-directory -C csrc -j2 test

fuzz:
	@echo "--- fuzz: $(FUZZ_SECONDS) s for each C fuzzer, from the example models"
	@$(MAKE) --silent --no-print-directory -C csrc -j2 fuzz SECONDS=$(FUZZ_SECONDS) SEEDS="$(addprefix ../,$(wildcard examples/*/1/variables/*.index examples/*/1/*.pb))"

lint: $(VENV)/tools
	@echo "--- lint: ruff, cython-lint"
	$(BIN)/ruff check
	PATH="$$(cd $(BIN) && pwd):$$PATH" cython-lint fastsm

types: $(VENV)/tools
	@echo "--- types: mypy --strict"
	$(BIN)/mypy

pytest: $(VENV)/tools $(VENV)/built
	@echo "--- pytest"
	$(BIN)/python -m pytest $(PYTEST)

quick: $(VENV)/tools
	@test -e $(VENV)/built || $(MAKE) --no-print-directory $(VENV)/built
	$(BIN)/python setup.py --quiet build_ext --inplace
	$(BIN)/python -m pytest -q -m "not tensorflow" $(PYTEST)

dist: $(VENV)/tools
	rm -rf dist
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) build dist *.egg-info fastsm/_core.c fastsm/_core.*.so
	$(MAKE) -C csrc clean

# The virtual environment, with a pip that knows dependency groups (25.1).
$(VENV)/made:
	@python=; for p in $(PYTHONS); do \
	  if $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
	    2>/dev/null; then python=$$p; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "fastsm needs Python 3.10 to 3.13 with venv; none of these is one: $(PYTHONS)" >&2; \
	  echo "Name one: make PYTHON=/path/to/python3.12 (Debian, Ubuntu: apt install python3-venv)" >&2; \
	  exit 1; \
	fi; \
	if ! command -v $${CC:-cc} >/dev/null; then \
	  echo "there is no C compiler (Debian, Ubuntu: apt install gcc)" >&2; exit 1; \
	fi; \
	if ! $$python -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'; then \
	  echo "$$python has no Python.h (Debian, Ubuntu: apt install python3-dev)" >&2; exit 1; \
	fi; \
	echo "--- a virtual environment in $(VENV), with $$($$python --version)"; \
	rm -rf $(VENV) && $$python -m venv $(VENV)
	@$(PIP) install --quiet --upgrade "pip>=25.1"
	@touch $@

# fastsm itself, with the command; Python files are used where they lie.
$(VENV)/built: $(VENV)/made setup.py pyproject.toml bin/fastsm $(CORE)
	@echo "--- building fastsm"
	@PYTHONWARNINGS=ignore $(PIP) install --quiet --editable .
	@touch $@

# What tests, lint and type checks need. TensorFlow's wheel is 250 MB.
$(VENV)/tools: $(VENV)/made pyproject.toml
	@echo "--- installing what the tests need: TensorFlow's CPU wheel, pytest, ruff, mypy"
	@$(PIP) install --quiet --group build --group lint --group test --group oracle
	@$(PIP) install --quiet --no-deps --group oracle-keras
	@touch $@
