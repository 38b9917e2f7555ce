# `make run` runs everything on this machine; `make test` runs every test. Both set up what is
# missing first. docs/operations.md tells more.

PYTHON ?= python3
BIN = .venv/bin

LOCK = $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url

BENCH = .run/bench
PEER = bench/peers/java
KAFKA_VERSION = $(shell sed -n '/kafka_2.13/{n;s/.*<version>\(.*\)<.*/\1/p}' docker/kafka/pom.xml)
# make bench PARTS="counting real" ROUNDS=3 EVENTS=100000 PEOPLE=50000 REAL_EVENTS=60000 SIDES=us,limit
# make bench PARTS=growth ROUNDS=3 SIZES="1000 1000000" STRETCH=20000
OPTIONS = $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(EVENTS),--events $(EVENTS)) \
	$(if $(PEOPLE),--people $(PEOPLE)) $(if $(REAL_EVENTS),--real-events $(REAL_EVENTS)) \
	$(addprefix --size ,$(SIZES)) $(if $(STRETCH),--stretch $(STRETCH)) \
	$(if $(BACKLOG),--backlog $(BACKLOG)) $(if $(START_PEOPLE),--start-people $(START_PEOPLE)) \
	$(if $(REBALANCE_PEOPLE),--rebalance-people $(REBALANCE_PEOPLE)) \
	$(if $(SIDES),--sides $(SIDES)) \
	$(if $(SEED),--seed $(SEED)) $(if $(OUT),--out $(OUT))

# make bench-view PARTS="rounds profile" ROUNDS=3 DISPLAY_PATH=/v1/me/code SCENES=tenfold,behind
VIEW_OPTIONS = $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(PEOPLE),--people $(PEOPLE)) \
	$(if $(CHANGES),--changes $(CHANGES)) $(if $(DISPLAY_PATH),--display $(DISPLAY_PATH)) \
	$(if $(SCENES),--scenes $(SCENES)) $(if $(PHONES),--phones $(PHONES)) \
	$(if $(BEFORE),--before $(BEFORE)) $(if $(OUT),--out $(OUT))

.PHONY: help run test model faults tries fuzz lint messages bench bench-view bench-setup setup system lock sbom clean

help: ## Print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 10

run: setup ## Set up, start everything, and stay up until Ctrl-C
	@exec $(BIN)/yuekang up

test: PACKAGES = --tests
test: setup .run/keycloak/unpacked .run/npm/package-lock.json $(PEER)/target/bench-peer.jar ## Set up, and run every check and every test, in stages
	@.ci/stages

.run/keycloak/unpacked: docker/keycloak/zip.sha256 docker/keycloak/pom.xml | system
	@PYTHON=$(PYTHON) docker/keycloak/unpack.sh .run/keycloak
	@touch $@

.run/npm/package-lock.json: docker/npm/package-lock.json docker/npm/unpack.py | system
	@$(PYTHON) docker/npm/unpack.py .run/npm
	@touch $@

bench: bench-setup ## Measure this and its peers side by side, into docs/benchmarks; four hours
	$(BIN)/pytest -q tests/unit/test_bench_peers.py
	@$(BENCH)/venv/bin/python -m bench $(PARTS) $(OPTIONS)
	@$(BIN)/python -m bench.capacity

bench-view: PACKAGES = --view
bench-view: setup $(BENCH)/stamp ## Measure what the view bears: PARTS="rounds scenes"; two hours
	@$(BIN)/python -m bench.view $(PARTS) $(VIEW_OPTIONS)
	@$(BIN)/python -m bench.capacity

bench-setup: PACKAGES = --bench
bench-setup: setup $(BENCH)/stamp $(PEER)/target/bench-peer.jar ## Build the peers, and set up what measures

$(BENCH)/stamp: bench/requirements.lock pyproject.toml setup.cfg
	@echo "Setting up the benchmark's virtual environment ..."
	@$(PYTHON) -m venv $(BENCH)/venv
	@$(BENCH)/venv/bin/pip install -q --require-hashes -r bench/requirements.lock
	@$(BENCH)/venv/bin/pip install -q --no-deps --no-build-isolation -e .
	@touch $@

$(PEER)/target/bench-peer.jar: $(PEER)/pom.xml docker/kafka/pom.xml $(shell find $(PEER)/src -name '*.java') | system
	@echo "Building the Java peer for Kafka $(KAFKA_VERSION) ..."
	@mvn -B -q -C -f $(PEER)/pom.xml -Dkafka.version=$(KAFKA_VERSION) clean package

model: .venv/stamp ## Check the model of the commit, docs/model, and its mutants with TLC; two minutes
	@.ci/stages model

faults: PACKAGES = --faults
faults: setup ## Set up, and run the fault suite: ROUNDS=100 SEED=..., its mutants, its report
	PYTHONPATH=.:tests $(BIN)/python -m faults rounds --rounds $(or $(ROUNDS),100) --seed "$(SEED)"
	PYTHONPATH=.:tests $(BIN)/python -m faults late --rounds 200
	PYTHONPATH=.:tests $(BIN)/python -m faults mutants
	PYTHONPATH=.:tests $(BIN)/python -m faults report

tries: PACKAGES = --faults
tries: setup ## Set up, and try to forge, replay and misattribute: TRIES=10000 SEED=...
	PYTHONPATH=.:tests $(BIN)/python -m tries --tries $(or $(TRIES),10000) --seed "$(SEED)"

fuzz: .venv/stamp ## Fuzz what reads inputs from outside: INPUTS=1000000 SEED=...; some minutes
	PYTHONPATH=.:tests $(BIN)/python -m fuzz --inputs $(or $(INPUTS),1000000) --seed "$(SEED)"

lint: .venv/stamp ## Run the checks that run no code
	$(BIN)/ruff check --no-cache
	$(BIN)/ruff format --check --no-cache
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

messages: .venv/stamp ## Bring app/web/locale up to date with what the pages say
	@mkdir -p .run
	@$(BIN)/pybabel -q extract -F pyproject.toml --add-location file --sort-by-file \
		-o .run/messages.pot app
	@$(BIN)/pybabel -q update -D yuekang -d app/web/locale -i .run/messages.pot -w 100 \
		--no-fuzzy-matching --ignore-pot-creation-date

setup: .venv/stamp ## Install what is missing: system packages, virtual environment, Kafka
	@docker/kafka/jars.sh .run/kafka/libs

system:
	@PYTHON=$(PYTHON) docker/install.sh $(PACKAGES)

.venv/stamp: requirements-dev.lock pyproject.toml setup.cfg | system
	@echo "Setting up the virtual environment ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -q --require-hashes -r requirements-dev.lock
	@$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $@

lock: .venv/stamp ## Write the three locks again from setup.cfg
	@echo 'setuptools >=77,<90' | $(LOCK) -o requirements.lock setup.cfg -
	@echo 'setuptools >=77,<90' | $(LOCK) --extra dev -c requirements.lock \
		-o requirements-dev.lock setup.cfg -
	@echo 'setuptools >=77,<90' | $(LOCK) --extra bench -o bench/requirements.lock setup.cfg -

sbom: .venv/stamp ## Write what is shipped, as CycloneDX: .run/sbom.cdx.json
	@mkdir -p .run
	@$(BIN)/python docker/sbom.py > .run/sbom.cdx.json
	@echo "It is in .run/sbom.cdx.json."

clean: ## Remove what was set up and all data
	rm -rf .venv .run build $(PEER)/target *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
