# Everything is driven from here; CI runs the same targets.
SHELL := /bin/bash
PY := .venv/bin/python
PACKAGES := chains notifier config watcher tests benchmarks scripts examples

.PHONY: setup demo test quick own-postgres acceptance bench check lint format lock clean

setup: .venv/.ready node_modules/.ready  ## Python environment and local chains, from the lock files

.venv/.ready: requirements.lock pyproject.toml scripts/setup
	scripts/setup python
	@touch $@

node_modules/.ready: package.json package-lock.json scripts/setup
	scripts/setup node
	@touch $@

demo: setup  ## Two wallets run low and are made whole again, on real local chains
	@$(PY) -m scripts.demo $(if $(KEEP),--keep)

test: setup check quick acceptance  ## Everything

quick: setup  ## All but the tests that run the whole daemon, or a soak
	$(PY) -m pytest -m "not acceptance" -n 2

own-postgres: setup  ## The quick ones, on a PostgreSQL of this machine's own
	$(PY) -m scripts.own_postgres $(PY) -m pytest -m "not acceptance" -n 2

acceptance: setup scripts/setup  ## The daemon as a process of its own, soaks, and pages in a real browser
	scripts/setup browser
	$(PY) -m pytest -m acceptance

bench: setup  ## Every benchmark, one after another, in sizes for a small machine; see docs/performance.md
	$(PY) -m benchmarks.requirement 30
	$(PY) -m benchmarks.bulk_reads 50000
	$(PY) -m benchmarks.latency 50
	$(PY) -m benchmarks.intake 500 16
	$(PY) -m benchmarks.block_cost 1000 100000
	$(PY) -m benchmarks.sweep 100000 20000
	$(PY) -m benchmarks.detect 1000 20 10
	$(PY) -m benchmarks.wave 300 20

check: setup  ## Format, lint, types, imports
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports

format: setup
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

lock:  ## Needs uv
	uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header -q -o requirements.lock

clean:
	rm -rf .venv node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .run
