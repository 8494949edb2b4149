# Everything starts here: each target creates the virtual environment that it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check format bench bench-recall browser lock clean

demo: .venv/.demo                ## a miniature web, crawled, packed, audited; then trained on
	rm -rf build/demo
	$(BIN)/uncurated demo --output build/demo
	OMP_NUM_THREADS=1 $(BIN)/python -m train_entry.launch --nproc-per-node 2 -m train_entry.pretrain \
		train_entry/configs/smoke_cpu.yaml data=build/demo/dataset output=build/demo/run

test: .venv/.dev                 ## all tests but the benchmarks; loopback traffic only
	$(BIN)/pytest -n auto --maxprocesses=4 --dist worksteal

check: .venv/.dev                ## format, lint, types, import layers, generated documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m schemas --check
	$(BIN)/python -m pipelines.flex_template --check
	$(BIN)/hadolint docker/*.Dockerfile
	$(BIN)/shellcheck docker/slurm/*.sbatch

format: .venv/.dev               ## what `check` asks for, done
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python -m schemas
	$(BIN)/python -m pipelines.flex_template

browser:                         ## Chromium, by which tests look at the page of a report (Debian, as root)
	command -v chromium chromedriver || (apt-get update -qq && \
		apt-get install -qq -y --no-install-recommends chromium chromium-driver fonts-dejavu-core)

bench: .venv/.dev                ## CPU time per image against img2dataset; see tests/benchmarks
	$(BIN)/python -m tests.benchmarks.throughput

bench-recall: .venv/.dev         ## copies of evaluation images found, and strangers; see tests/benchmarks
	$(BIN)/python -m tests.benchmarks.recall
	$(BIN)/python -m tests.benchmarks.lookup

lock:                            ## resolve all extras together, newest allowed, into requirements.lock
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install -q $(LOCK_FLAGS) torch==2.13.0
	.venv-lock/bin/pip install -q $(LOCK_FLAGS) -e '.[gcp,s3,img2dataset,train,dev]'
	.venv-lock/bin/pip check
	.venv-lock/bin/pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock
	rm -rf .venv-lock

clean:
	rm -rf .venv .venv-lock .venv-img2dataset .venv-uncurated .mypy_cache .ruff_cache .import_linter_cache

.venv/.made: requirements.lock
	$(PYTHON) -m venv .venv
	touch $@

.venv/.demo: .venv/.made pyproject.toml
	$(BIN)/pip install -q -c requirements.lock -e '.[demo,train]'
	touch $@

.venv/.dev: .venv/.made pyproject.toml
	$(BIN)/pip install -q -c requirements.lock -e '.[dev]'
	touch $@ .venv/.demo
