# The two commands of the README, `make demo` and `make test`, do everything on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
# PyTorch is only needed to train and export, and for the tests of that. Pinned to a version that the tests ran with; with
# TORCH= (empty) those tests skip.
TORCH  ?= torch==2.13.0
# Tests run on all cores, those of a file on one; tests/conftest.py says which files start first.
PARALLEL = --numprocesses auto --dist loadfile --no-loadscope-reorder
STAMP   = $(VENV)/.installed
comma  := ,

.PHONY: compiled faults fuzz mutants networks demo test test-full check lint types kernels coverage wheel bench studies rtl rtl-full rtl-area readme examples docs site tables digits clean claims dist wheels lowest pythons audit licences

demo: $(STAMP)
	$(BIN)/archonsim inspect workloads/fusionet_c10.h5
	$(BIN)/archonsim verify --workload workloads/fusionet_c10.h5
	$(BIN)/archonsim run --arch archon --workload workloads/fusionet_c10.h5 --output results/demo
	$(BIN)/archonsim report --arch archon --workload workloads/fusionet_c10.h5 --output results/demo/report.html

test: $(STAMP)-test
	$(BIN)/python -m pytest $(PARALLEL)

# The whole suite: every case of the tests of which `make test` tries a sample, and those that take minutes.
test-full: $(STAMP)-test
	ARCHONSIM_FULL_TESTS=1 $(BIN)/python -m pytest $(PARALLEL)

# The one check command, which CI runs, too: lint, format, contracts, types; the site; all tests with coverage; kernels with
# their bounds checked; the wheel in an environment of its own. What takes one core goes two at a time; kernels are compiled
# before the tests, as coverage.py makes numba slow.
check: lint
	$(MAKE) --jobs=2 wheel compiled types docs
	$(MAKE) coverage
	$(MAKE) kernels

compiled: $(STAMP)
	$(BIN)/archonsim warm

lint: $(STAMP)-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)-test
	$(BIN)/mypy

# All tests, with a quarter of the random examples, and the tests of kernels once more as plain Python, in which
# coverage.py can count their lines.
coverage: $(STAMP)-test
	rm -rf build/coverage
	mkdir -p build/coverage
	ARCHONSIM_FEWER_EXAMPLES=4 $(BIN)/coverage run -m pytest $(PARALLEL)
	NUMBA_DISABLE_JIT=1 ARCHONSIM_FEWER_EXAMPLES=10 $(BIN)/coverage run -m pytest $(PARALLEL) tests/pairs tests/zoo/test_fused.py
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# numba's cache does not distinguish code that checks bounds, hence a cache of its own.
kernels: $(STAMP)-test
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=build/boundscheck ARCHONSIM_FEWER_EXAMPLES=4 $(BIN)/python -m pytest $(PARALLEL) tests/pairs

# Build the wheel, install it into an environment of its own and run it from there.
wheel:
	PYTHON=$(PYTHON) .ci/wheel

# sdist and wheel, in dist/; with `wheels` also those of all that it needs, for the Dockerfile.
dist: $(STAMP)-test
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

wheels: dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --wheel-dir dist/wheels dist/*.whl

# The lowest versions that pyproject.toml declares, in an environment of their own (minutes).
lowest:
	PYTHON=$(PYTHON) .ci/lowest

# All tests on each Python that is installed here, from 3.11 on, in environments of their own (minutes each).
pythons:
	.ci/pythons $(VERSIONS)

# Known weaknesses of installed packages, by pip-audit; without the network it says so and skips.
audit: $(STAMP)-test
	.ci/audit $(VENV)

# docs/licences.md, from what the installed packages say.
licences: $(STAMP)-test
	$(BIN)/python docs/licences.py

bench: $(STAMP)
	$(BIN)/python benchmarks/bench_run.py
	$(BIN)/python benchmarks/bench_sweep.py

# End commands at random moments, a hundred times, and look at what they leave.
faults: $(STAMP)-test
	$(BIN)/python -m tests.faults.injection 100

# Fuzz the readers for so many minutes (docs/fuzzing.md).
MINUTES ?= 10
fuzz: $(STAMP)-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH) --editable '.[fuzz]'
	$(BIN)/python -m fuzz --minutes $(MINUTES)

# Mutants of kernels, engine, mapper, memory and energy (docs/mutation.md): 20 of each module, all with SHARE=1. An hour; MODULES
# names some.
SHARE ?= 0
MODULES ?=
mutants: $(STAMP)-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH) --editable '.[mutation]'
	$(BIN)/python -m mutation $(MODULES) --share $(SHARE)

# MACs and parameters of 50 networks of torchvision and timm against two other counts (minutes). torchvision must be built
# for the torch that is installed: set TORCH='torch==... torchvision==...' where pip picks another.
networks: $(STAMP)-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH) --editable '.[networks]'
	ARCHONSIM_ALL_NETWORKS=1 $(BIN)/python -m pytest $(PARALLEL) tests/export/test_public_networks.py

# What README and docs/ claim: each claim's command, expected, got (docs/artifact.md; minutes).
claims: $(STAMP)
	rm -rf results/claims
	$(BIN)/python docs/claims.py

# The studies' tables and figures in benchmarks/results (minutes).
studies: $(STAMP)
	$(BIN)/python benchmarks/studies.py all

# The array in Verilog (rtl/), compiled with Debian's verilator and g++, against the simulator, cycle by cycle: a few
# hundred tiles, or thousands.
rtl: $(STAMP)-test
	$(BIN)/python -m rtl.bench

rtl-full: $(STAMP)-test
	$(BIN)/python -m rtl.bench --full

# Its cells, counted by Debian's yosys (rtl/area.csv).
rtl-area: $(STAMP)-test
	$(BIN)/python -m rtl.area

# What README.md shows of the commands' output, and its figures.
readme: $(STAMP)
	rm -rf results
	$(BIN)/python docs/refresh.py

# The examples of docs/api.md and of the tutorials, as they print now.
examples: $(STAMP)-test
	UPDATE_DOCS=1 ARCHONSIM_FULL_TESTS=1 $(BIN)/python -m pytest tests/docs -k 'short or api'

# The documentation site, in build/site; a warning (a link that leads nowhere) is an error.
docs site: $(STAMP)-test
	PYTHONPATH=. NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --clean

# The tables of trained networks.
tables: $(STAMP)
	$(BIN)/python -m workloads.tables

# Retrain and re-export the digits workload (minutes on two cores).
digits: $(STAMP)-test
	$(BIN)/python -m workloads.digits

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(STAMP)-test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH) --editable '.[$(if $(TORCH),dev$(comma)train,dev)]'
	touch $@ $(STAMP)

clean:
	rm -rf $(VENV) results build *.egg-info
