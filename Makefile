PYTHON ?= python3
ROUNDS ?= 300
SECONDS ?= 60
HISTORIES ?= 300
BIN := .venv/bin

.PHONY: help run test check format torture powerloss fuzz losses healing bench repair filling loss memory small needles reclaim clean
.DEFAULT_GOAL := help

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

run: .venv/installed ## start an api and its nodes on this machine, ready to take files
	$(BIN)/twisted-store demo

test: .venv/installed-test ## run the test suite in random order, on two cores
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: .venv/installed-test ## all that a change must pass: format, lint, types, architecture, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py
	$(MAKE) test

format: .venv/installed-test ## rewrite the code in the common format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

torture: .venv/installed-test ## kill processes under load, ROUNDS=300 times, with FILES=small or mixed ones
	$(BIN)/python -m pytest tests/integration/test_torture.py -k "$(FILES)" --rounds $(ROUNDS) -o faulthandler_timeout=0

powerloss: .venv/installed-test ## cut the power after every disk call
	$(BIN)/python -m pytest tests/powerloss --full
	$(BIN)/python -m tests.powerloss.volumes --histories $(HISTORIES) $(if $(SEED),--seed $(SEED))

fuzz: .venv/installed-test ## give parsers bytes that are nearly right, for SECONDS=60, from SEED on if it is given
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

losses: .venv/installed-test ## lose every set of nodes, at every moment
	$(BIN)/python -m pytest -n 2 tests/simulation/test_losses.py tests/integration/test_survival.py \
		--full -o faulthandler_timeout=0

healing: .venv/installed-test ## strike moves at every step, and let hours of a cluster pass
	$(BIN)/python -m pytest -n 2 tests/simulation/test_move_races.py tests/simulation/test_healing.py \
		tests/integration/test_healing.py --full -o faulthandler_timeout=0

bench: .venv/installed-test ## measure speed and memory
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/redundancy.py

repair: .venv/installed-test ## measure what repair and rebalancing cost, with up to 12 GiB on disk
	$(BIN)/python benchmarks/repair.py

filling: .venv/installed-test ## see how evenly nodes fill, with up to 15 GiB of files
	$(BIN)/python benchmarks/filling.py

loss: .venv/installed ## print how probable it is to lose files, by scheme
	$(BIN)/python benchmarks/loss.py

memory: .venv/installed-test ## see what processes hold while 8 large files come at once
	$(BIN)/python benchmarks/memory.py

small: .venv/installed-test ## measure what a PUT and a GET of 4 KiB cost, in batches and alone
	$(BIN)/python benchmarks/small.py

needles: .venv/installed-test ## measure starts and memory of a node with a million small chunks
	$(BIN)/python benchmarks/needles.py

reclaim: .venv/installed-test ## delete 90 % of SIZE bytes of small files, see space come back
	$(BIN)/python benchmarks/reclaim.py $(if $(SIZE),--size $(SIZE))

clean: ## remove what make made
	rm -rf .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info

.venv/installed: setup.py twisted_store/__init__.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@
