# Everything a developer does, by name. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
ARGS ?=
MEASURES ?= $(sort $(wildcard benchmarks/*.py))

.PHONY: help setup demo test lint check bench down chaos soak mutation

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

setup: ## Debian packages, .venv, Kafka's jars; what is there is left alone
	@deploy/setup.sh

demo: setup ## a simulated company's six months through the whole pipeline; stays up until Ctrl-C (ARGS=--exit: ends after the summary)
	@$(BIN)/mutual-sla demo $(ARGS)

test: setup lint ## everything: ruff, mypy, promtool, then the whole test suite on real Kafka and PostgreSQL
	@echo "test: the whole suite (unit, property, stream, integration); it starts and stops what it needs"
	@deploy/test.sh $(ARGS)

lint: setup ## ruff, mypy, promtool: no service needed
	@echo "lint: ruff check, ruff format --check, mypy --strict"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@echo "lint: promtool and amtool on deploy/prometheus, deploy/alertmanager and tests/rules"
	@deploy/check_rules.sh

check: setup ## validate policy, calendars, people, stages and sources: all faults, with file and line
	@$(BIN)/mutual-sla check

bench: setup .bench/installed ## measure everything at small sizes; full: make bench MEASURES=benchmarks/pipeline.py ARGS="--obligations 1000000"
	@for measure in $(MEASURES); do echo "bench: $$measure $(ARGS)"; $(BIN)/python "$$measure" $(ARGS) || exit; done

.bench/installed: benchmarks/peers/requirements.txt # the engines we are compared with: beside the environment, not in it
	@echo "bench: other engines into .bench"
	@rm -rf .bench && $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target .bench -r $<
	@touch $@

chaos: setup ## kill and break everything at random moments, then count what is lost or doubled (ARGS="--kills 50 --seed 1"; docs/reliability.md)
	@$(BIN)/python -m tests.chaos $(ARGS)

soak: setup ## an hour at 500 events a second with kills; memory, file handles and lag over time (ARGS="--minutes 60 --rate 500")
	@$(BIN)/python -m tests.chaos.soak $(ARGS)

mutation: setup ## one mistake at a time in the pure core: does a test notice? (ARGS="cycles verdict --sample 20 --seed 1"; docs/reliability.md)
	@$(BIN)/python -m tests.mutation $(ARGS)

down: ## stop everything that `up` or `demo` started
	@if [ -x $(BIN)/mutual-sla ]; then \
	  $(BIN)/mutual-sla down; \
	  $(BIN)/mutual-sla down --state-dir "$${MUTUAL_SLA_STATE_DIR:-$$HOME/.local/state/mutual-sla}/demo"; \
	fi
