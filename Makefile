# `make run` runs everything on this machine; `make test` runs every test. Both set up what is
# missing first. docs/operations.md tells more.

PYTHON ?= python3
BIN = .venv/bin

.PHONY: help run test lint setup system lock clean

help: ## Print this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

run: setup ## Set up, start everything, and stay up until Ctrl-C
	@exec $(BIN)/yuekang up

test: PACKAGES = --tests
test: setup lint ## Set up, and run every check and every test
	$(BIN)/pytest -n 2 --dist loadfile

lint: .venv/stamp ## Run the checks that run no code
	$(BIN)/ruff check --no-cache
	$(BIN)/ruff format --check --no-cache
	$(BIN)/mypy

setup: .venv/stamp ## Install what is missing: system packages, virtual environment, Kafka
	@docker/kafka/jars.sh .run/kafka/libs

system:
	@PYTHON=$(PYTHON) docker/install.sh $(PACKAGES)

.venv/stamp: requirements.lock pyproject.toml setup.cfg | system
	@echo "Setting up the virtual environment ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -q --require-hashes -r requirements.lock
	@$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $@

lock: .venv/stamp ## Write requirements.lock anew from setup.cfg
	@echo 'setuptools >=77,<90' | $(BIN)/uv pip compile -q --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --extra dev \
		-o requirements.lock setup.cfg -

clean: ## Remove what was set up and all data
	rm -rf .venv .run build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
