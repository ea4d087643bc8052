# One command per task. Each calls bootstrap.py, which needs Python 3.11+ and nothing else.
PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help up install dev format lint types imports test test-slow check faults docs bench bench-peers lock

help: ## list the tasks
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

up: ## install and run the main job: server, agent and dashboard of this machine
install: ## install CyberCorp into .venv
dev: ## install CyberCorp and the development tools into .venv
format: ## format the code
lint: ## formatting and lint
types: ## strict type check of source and tests
imports: ## import directions between the packages
test: ## all tests but the slow proofs
test-slow: ## the slow proofs: kill, cut, fill
check: ## everything CI runs: lint, types, imports, test, test-slow
faults: ## every fault as often as docs/reliability.md says: half an hour
docs: ## generate the reference pages and the dashboard's picture
bench: ## every quick benchmark; results for docs/performance.md
bench-peers: ## ingest, disk and queries beside Prometheus and VictoriaMetrics; says what to install
up install dev format lint types imports test test-slow check faults docs bench bench-peers:
	@$(PYTHON) bootstrap.py $@

lock: ## resolve the dependencies anew (needs uv)
	uv pip compile -q --generate-hashes --universal --python-version 3.11 --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	uv pip compile -q --generate-hashes --universal --python-version 3.11 --custom-compile-command "make lock" pyproject.toml --group dev -o requirements-dev.lock
