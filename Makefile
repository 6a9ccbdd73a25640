# specstack: two commands do everything. `make serve` and `make test`. `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DISTRO ?= starter
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help serve test services install generate distro-readmes check-generated spec-diff lint format unit fuzz fuzz-deep bench bench-check bench-targets models lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

serve: $(VENV)/.serve $(VENV)/.generated ## Set up, generate if needed, and start the default distribution (DISTRO=name|file)
	$(BIN)/specstack models pull
	$(BIN)/stack-serve $(DISTRO)

test: $(VENV)/.dev ## Everything CI runs: lint, generated code is current, unit, contract and end-to-end tests
	@$(MAKE) --no-print-directory services
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory check-generated
	@$(MAKE) --no-print-directory spec-diff
	@$(MAKE) --no-print-directory models
	@$(MAKE) --no-print-directory unit

services: ## Install the storage servers that tests start (Debian, as root; elsewhere those tests skip what is missing)
	@if command -v redis-server >/dev/null && ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then exit 0; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  echo "Installing Redis and PostgreSQL for the tests (once, about a minute) ..."; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends \
	    redis-server postgresql >/dev/null || echo "could not install them; their tests skip"; \
	else echo "Redis or PostgreSQL is not installed; their tests skip"; fi

install: $(VENV)/.dev ## Set up the development environment in .venv

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is not Python 3.11 or newer; name one that is: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: requirements/starter.txt pyproject.toml | $(BIN)/python
	@echo "Installing the server and the embedded providers (once, about a minute) ..."
	$(PIP) install --require-hashes -r requirements/starter.txt
	$(PIP) install --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo "Installing the development environment (once, a few minutes) ..."
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(PIP) install --no-deps -e .
	@touch $@ $(VENV)/.serve $(VENV)/.codegen

$(VENV)/.codegen: requirements/codegen.txt pyproject.toml | $(BIN)/python
	@echo "Installing the code generator (once, half a minute) ..."
	$(PIP) install --require-hashes -r requirements/codegen.txt
	$(PIP) install --no-deps -e .
	@touch $@

# Generated code is committed. The generator's packages are installed only when the spec is newer than the code.
$(VENV)/.generated: $(shell find spec codegen -type f -not -path '*/__pycache__/*') | $(VENV)/.serve
	@if ! $(BIN)/python -m specstack_codegen --is-current; then \
	  $(PIP) install --require-hashes -r requirements/codegen.txt && $(BIN)/python -m specstack_codegen; \
	fi
	@touch $@

generate: $(VENV)/.codegen ## Write generated/ from spec/
	@$(BIN)/python -m specstack_codegen
	@$(BIN)/python -m specstack_codegen --spec tests/fixture/spec --out tests/fixture/generated --package fixture

distro-readmes: $(VENV)/.dev ## Write the distributions' READMEs from their configs (a test fails when they are old)
	@for one in distributions/specstack_distributions/*/config.yaml; do \
	  folder=$$(dirname $$one); $(BIN)/specstack distro readme $$folder > $$folder/README.md; \
	done

check-generated: $(VENV)/.codegen ## Fail with a diff if generated/ is not what spec/ says
	@$(BIN)/python -m specstack_codegen --check
	@$(BIN)/python -m specstack_codegen --spec tests/fixture/spec --out tests/fixture/generated --package fixture --check

spec-diff: $(VENV)/.dev ## Fail if spec/ breaks something stable since the branch left main (BASE=ref to compare with another)
	@base="$${BASE:-$$(git merge-base HEAD origin/main 2>/dev/null || git merge-base HEAD main 2>/dev/null)}"; \
	if [ -n "$$base" ]; then $(BIN)/specstack spec diff "$$base" spec; \
	else echo "no git history to compare spec/ with; name a ref: make spec-diff BASE=v0.1.0"; fi

lint: $(VENV)/.dev ## ruff, strict types, layer contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --level error --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code and fix what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

unit: $(VENV)/.dev ## All tests (PYTEST_ARGS="-k name" to choose)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

fuzz: $(VENV)/.dev ## The contract test alone: schemathesis against the bundle, the same requests each time (half a minute)
	$(BIN)/python -m pytest tests/contract $(PYTEST_ARGS)

fuzz-deep: $(VENV)/.dev ## The contract test with thousands of cases per operation (about 20 minutes; it says how far it is)
	SPECSTACK_FUZZ_EXAMPLES=1500 $(BIN)/python -m pytest tests/contract --timeout=3600 $(PYTEST_ARGS)

models: $(VENV)/.serve ## Fetch the default model weights into the cache (about 120 MB, once)
	$(BIN)/specstack models pull

bench: $(VENV)/.serve ## Measure what the server costs beside a raw ASGI app and nginx (BENCH="--only chat")
	@$(BIN)/python bench/run.py $(BENCH)

bench-check: $(VENV)/.serve ## A minute of that against bench/baseline.json; warns, never fails
	@$(BIN)/python bench/run.py --check || echo "warning: the bench could not run"

bench-targets: $(VENV)/.serve ## Measure and judge every target of docs/performance.md (BENCH="--target ...")
	@$(BIN)/python bench/targets.py $(BENCH)

lock: $(VENV)/.dev ## Renew requirements/*.txt from pyproject.toml
	$(PIP) install uv
	@for set in starter codegen dev image; do \
	  $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	    --extra $$set pyproject.toml -o requirements/$$set.txt; \
	done

clean: ## Remove the environment and caches (models stay in their cache)
	rm -rf $(VENV) .specstack-cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
