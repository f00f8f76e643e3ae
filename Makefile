# Two commands matter: `make demo` and `make test`. Both set up everything they need in .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PEERS  := $(VENV)/.peers-installed

.DEFAULT_GOAL := help
.PHONY: help install demo test tft lint fix types imports schemas drift bench accuracy chaos mutants unit lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## Create .venv with the pinned dependencies

$(STAMP): requirements/dev.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned dependencies into $(VENV) (the first time takes a minute or two)"
	@# The lock is complete: --no-deps keeps pip from looking at releases newer than the pinned ones.
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/pip check --quiet --disable-pip-version-check
	@touch $@

demo: $(STAMP) ## The whole service on real sales, with an embedded broker and database
	@$(BIN)/forecast-consumer demo

test: lint types imports drift ## Everything CI checks: lint, types, import rules, drift, all tests
	$(BIN)/pytest $(PYTEST_ARGS)

lint: $(STAMP) ## ruff, code and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

fix: $(STAMP) ## Let ruff repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## mypy --strict
	$(BIN)/mypy

imports: $(STAMP) ## The layer rules
	$(BIN)/lint-imports

schemas: $(STAMP) ## Write the JSON Schemas and the AsyncAPI document anew
	$(BIN)/forecast-consumer schemas export

drift: $(STAMP) ## Fail when the generated files are not what the models say
	$(BIN)/forecast-consumer schemas export --check

bench: $(PEERS) ## Speed against the floor and against peers, about an hour: ROWS="intake noop" ROUNDS=7 QUICK=1
	@$(BIN)/python -m benchmarks $(ROWS) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(QUICK),--quick)

$(PEERS): $(STAMP) requirements/bench.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/bench.txt
	@$(BIN)/pip check --quiet --disable-pip-version-check
	@touch $@

accuracy: $(STAMP) ## How good the forecasts are on real sales, beside the libraries alone: PRODUCTS=1500 for a sample
	@$(BIN)/python -m accuracy $(if $(PRODUCTS),--products $(PRODUCTS))

chaos: $(STAMP) ## The service under faults: SECONDS=600 SEED=1; the verdict on its eight invariants
	@$(BIN)/python -m tests.chaos --seconds $(or $(SECONDS),120) $(if $(SEED),--seed $(SEED))

mutants: $(STAMP) ## Six ways to break a guarantee, each of which the chaos rig must catch, and a control
	@$(BIN)/python -m tests.chaos --mutants $(if $(SEED),--seed $(SEED))

tft: ## The tests of the extra `tft` (torch: some gigabytes) in an environment of its own, .venv-tft
	@test -x .venv-tft/bin/python || $(PYTHON) -m venv .venv-tft
	@.venv-tft/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/tft.txt
	@.venv-tft/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	.venv-tft/bin/pytest tests/unit/forecasting/test_tft.py \
		tests/unit/core/test_tft_job.py tests/unit/core/test_tft_real.py $(PYTEST_ARGS)

unit: $(STAMP) ## The tests that need no server
	$(BIN)/pytest tests/unit $(PYTEST_ARGS)

lock: ## Pin the dependencies anew (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header --upgrade --quiet --output-file requirements/dev.txt
	uv pip compile pyproject.toml --constraint requirements/dev.txt --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header --quiet --output-file requirements/run.txt
	uv pip compile pyproject.toml --extra bench --constraint requirements/dev.txt --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet --output-file requirements/bench.txt
	uv pip compile pyproject.toml --extra dev --extra tft --constraint requirements/dev.txt --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet \
		--output-file requirements/tft.txt

clean: ## Remove what the build made, not the caches
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
