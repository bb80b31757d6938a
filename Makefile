# Two commands matter: `make run` and `make test`. Both install into .venv and change nothing outside this folder.

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMPS := $(VENV)/.stamps
PIP_INSTALL := $(PYTHON) -m pip install --disable-pip-version-check -qq --constraint constraints.txt
TORCH := torch==2.13.0

# Where torch comes from, as pip options: empty means what pip finds by itself, a CPU build first.
# A GPU machine passes its wheel index here, e.g. make run TORCH_INSTALL_ARGS="--index-url URL".
TORCH_INSTALL_ARGS ?=
# More options for pytest, e.g. make test PYTEST_ARGS="-k pack -x".
PYTEST_ARGS ?=
# How many tests run side by side; 0 runs them one by one in pytest's own process, as a debugger needs it.
TEST_WORKERS ?= 2
# How long the campaign may take, in minutes, and its other options, e.g. CAMPAIGN_ARGS="--only kills,redis --resume".
CAMPAIGN_MINUTES ?=
CAMPAIGN_ARGS ?=

FITS := import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check campaign docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

run: $(STAMPS)/run ## Install, ingest the sample corpus, start the service on 127.0.0.1:8080
	@exec $(PYTHON) -m ragopt serve --dev

test: $(STAMPS)/dev ## Install and run the whole test suite
	@$(PYTHON) -m pytest --numprocesses $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: $(STAMPS)/dev ## Run ruff, the formatter's check, mypy and the house rules
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@$(PYTHON) -m pytest -q tests/test_house.py

campaign: $(STAMPS)/dev ## Kill, cut, fill and fuzz everything for an hour and a half; CAMPAIGN_MINUTES shortens it
	@$(PYTHON) -m eval campaign $(if $(CAMPAIGN_MINUTES),--minutes $(CAMPAIGN_MINUTES)) \
	    $(if $(QDRANT_TEST_URL),--qdrant-url $(QDRANT_TEST_URL)) $(CAMPAIGN_ARGS)

docs: $(STAMPS)/dev ## Write docs/reference.md again from the code
	@$(PYTHON) -m docs.generate_reference

clean: ## Remove .venv and the caches; data in .ragopt stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist ./*.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# The stamps form one chain, so that `make -j run test` never runs two installs at once.
$(STAMPS)/venv:
	@if [ "$$(uname -s)-$$(uname -m)" != Linux-x86_64 ] && [ -z "$$RAGOPT_REDIS_URL" ] \
	    && ! command -v redis-server >/dev/null; then \
	  echo "ragopt needs a redis-server on PATH on this platform (or RAGOPT_REDIS_URL set): install Redis first." >&2; \
	  exit 1; \
	fi
	@if ! $(PYTHON) -c '$(FITS)' 2>/dev/null; then \
	  for candidate in python3.11 python3.12 python3; do \
	    if "$$candidate" -c '$(FITS)' 2>/dev/null; then found=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "ragopt needs Python 3.11 or 3.12 with the venv module (Debian: python3.11-venv); none is on PATH." >&2; \
	    exit 1; \
	  fi; \
	  echo "Creating $(VENV) with $$found"; \
	  "$$found" -m venv --clear $(VENV); \
	fi
	@mkdir -p $(STAMPS)
	@touch $@

# torch goes first and alone: left to the other packages' requirements, pip could pick another build.
$(STAMPS)/torch: $(STAMPS)/venv constraints.txt
	@echo "Installing $(TORCH)"
	@if [ -n "$(TORCH_INSTALL_ARGS)" ] || ! $(PIP_INSTALL) "$(TORCH)+cpu" 2>/dev/null; then \
	  if [ -z "$(TORCH_INSTALL_ARGS)" ] && [ "$$(uname -s)-$$(uname -m)" = Linux-x86_64 ]; then \
	    echo "pip finds no CPU build of torch: the default build follows, with CUDA, several GB." >&2; \
	    echo "To avoid that, stop and pass a CPU wheel index: make run TORCH_INSTALL_ARGS=\"--index-url URL\"" >&2; \
	  fi; \
	  $(PIP_INSTALL) $(TORCH_INSTALL_ARGS) "$(TORCH)"; \
	fi
	@touch $@

$(STAMPS)/run: $(STAMPS)/torch pyproject.toml
	@echo "Installing ragopt"
	@$(PIP_INSTALL) --editable .
	@touch $@

$(STAMPS)/dev: $(STAMPS)/run
	@echo "Installing the test tools"
	@$(PIP_INSTALL) --editable ".[dev]"
	@touch $@
