# Each target sets up the virtual environment that it needs, under .venvs, and sets it up again when pyproject.toml changes.

PYTHON ?= python3
PIP_FLAGS := --quiet --disable-pip-version-check
DEMO_OUTPUT ?= demo-output
FUZZ_EXAMPLES ?= 2000
TORTURE_KILLS ?= 100
TORTURE_FLIPS ?= 20000

DEMO := .venvs/demo
TEST := .venvs/test
BENCH := .venvs/bench
DOCS := .venvs/docs
BROWSER := .venvs/browser

.PHONY: help demo test lint format examples fuzz torture report bench docs build clean

help:
	@echo "make demo    train a network on handwritten digits and draw its graph into $(DEMO_OUTPUT)"
	@echo "make test    lint, check types and run the tests"
	@echo "make lint    lint and check types"
	@echo "make format  format the code and fix what the linter can"
	@echo "make examples  run every example in its full setting"
	@echo "make fuzz    compare $(FUZZ_EXAMPLES) random programs with the reference interpreter"
	@echo "make torture kill $(TORTURE_KILLS) processes that save checkpoints, flip $(TORTURE_FLIPS) bits of one"
	@echo "make report  use reports in Chromium and take the screenshots of the documentation"
	@echo "make bench   measure graphc against other systems and write docs/benchmarks.md, with its figures and plot"
	@echo "make docs    build the documentation into site"
	@echo "make build   build the source archive and the wheel into dist"
	@echo "make clean   delete environments, builds and caches"

demo: $(DEMO)/.ready
	$(DEMO)/bin/python examples/mnist_mlp.py $(DEMO_OUTPUT)

test: lint
	$(TEST)/bin/python -m pytest --numprocesses auto

lint: $(TEST)/.ready
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/mypy

format: $(TEST)/.ready
	$(TEST)/bin/ruff check --fix .
	$(TEST)/bin/ruff format .

examples: $(DEMO)/.ready
	$(DEMO)/bin/python tools/run_examples.py

fuzz: $(TEST)/.ready
	GRAPHC_FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(TEST)/bin/python -m pytest tests/test_random_graphs.py

torture: $(TEST)/.ready
	GRAPHC_KILLS=$(TORTURE_KILLS) GRAPHC_FLIPS=$(TORTURE_FLIPS) $(TEST)/bin/python -m pytest -s \
		tests/train/test_kill.py tests/train/test_checkpoint.py

report: $(BROWSER)/.ready
	$(BROWSER)/bin/python tools/check_report.py

bench: $(BENCH)/.ready
	$(BENCH)/bin/python -m benchmarks --output docs/benchmarks.md

# `python -m` makes the hooks find tools/. The variable silences an announcement of the theme's makers.
docs: $(DOCS)/.ready
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build

build: $(TEST)/.ready
	$(TEST)/bin/python -m pip install $(PIP_FLAGS) build
	$(TEST)/bin/python -m build

clean:
	rm -rf .venvs build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(DEMO)/.ready: EXTRAS := png
$(TEST)/.ready: EXTRAS := dev
$(BENCH)/.ready: EXTRAS := bench
$(DOCS)/.ready: EXTRAS := docs
$(BROWSER)/.ready: EXTRAS := browser

.venvs/%/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"{sys.executable} is Python {sys.version.split()[0]}; graphc needs 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install $(PIP_FLAGS) --editable '.[$(EXTRAS)]'
	@touch $@
