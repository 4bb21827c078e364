# Each of `make demo`, `make test` and `make check` does all its own set-up on a machine with Python 3.11+, make and
# git: a virtual environment in .venv, the packages pinned in constraints.txt, the open-source gateway in a cache folder,
# and for the tests Redis with search.
# Nothing but package registries is reached, and no key is needed.

SHELL = /bin/sh
.SUFFIXES:
.DEFAULT_GOAL := help
.PHONY: help demo test fast cassettes check install venv gateway constraints clean

PYTHONS = python3.13 python3.12 python3.11 python3.14 python3
VENV = .venv
PY = $(VENV)/bin/python
EXTRAS = all
GROUPS = test check
STAMP = $(VENV)/.portkey-router-installed

# Empty: one worker per core, at most four. `make test PYTEST_ARGS="-n0 -x tests/test_planner.py"` overrides both.
PYTEST_ARGS =

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

demo: install ## a model answers through the gateway, fails, and is answered for by the next: on this machine, no keys
	@$(PY) examples/demo.py

# Without the gateway or Redis, tests that need it are skipped by name; in CI that is a failure.
test: venv ## every test, in parallel
	@$(PY) -m portkey_router.sandbox.gateway --install || [ -z "$$CI" ] || exit 1
	@$(PY) -m tests.services.redis_install || [ -z "$$CI" ] || exit 1
	@workers=$$($(PY) -c 'import os; print(max(2, min(4, os.cpu_count() or 2)))') && $(PY) -m pytest -n "$$workers" $(PYTEST_ARGS)

fast: venv ## the tests on recorded answers of the gateway: no Node, no server, seconds
	@$(PY) -m pytest -n0 tests/cassettes $(PYTEST_ARGS)

# Played once after that: what was recorded fits, and holds no key.
cassettes: install ## record those answers anew, from the real gateway and Prism
	@rm -f tests/cassettes/recorded/*.yaml
	@$(PY) -m pytest -n0 -p no:randomly --record-mode=once tests/cassettes/test_replay.py tests/cassettes/test_admin_replay.py
	@$(PY) -m pytest -n0 tests/cassettes

check: venv ## lint, format, types, and the architecture: all four, even if the first fails
	@failed=; \
	$(PY) -m ruff check . || failed="$$failed lint"; \
	$(PY) -m ruff format --check . || failed="$$failed format"; \
	$(PY) -m mypy || failed="$$failed types"; \
	$(PY) -m tests.architecture; \
	$(PY) -m pytest -q -p no:randomly tests/test_architecture.py || failed="$$failed architecture"; \
	if [ -n "$$failed" ]; then echo "make check failed:$$failed" >&2; exit 1; fi

install: venv gateway ## what the others do first: .venv and the gateway

# An environment that is there is kept; what is missing from it is added. The stamp names the two files it came from,
# so the second time costs nothing.
venv:
	@want=$$(cat pyproject.toml constraints.txt | cksum); \
	if [ -x $(PY) ] && [ "$$(cat $(STAMP) 2>/dev/null)" = "$$want" ]; then exit 0; fi; \
	set -e; \
	if ! $(PY) -c 'import pip' 2>/dev/null; then \
		found=; \
		for candidate in $(PYTHONS); do \
			if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$candidate; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "Python 3.11 or newer is needed, and none of these is one: $(PYTHONS). Install it, or: make PYTHONS=/path/to/python $(MAKECMDGOALS)" >&2; exit 1; \
		fi; \
		if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
			echo "$$found cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
		fi; \
		echo "Making $(VENV) with $$("$$found" --version)"; \
		"$$found" -m venv $(VENV); \
	fi; \
	echo "Installing into $(VENV) (once; about a minute)"; \
	$(PY) -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'; \
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable '.[$(EXTRAS)]' $(foreach group,$(GROUPS),--group $(group)); \
	printf '%s\n' "$$want" > $(STAMP)

gateway: venv
	@$(PY) -m portkey_router.sandbox.gateway --install

constraints: ## resolve every extra and group anew, into constraints.txt
	@set -e; fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(PY) -m venv "$$fresh/venv"; \
	"$$fresh/venv/bin/python" -m pip install --quiet --upgrade 'pip>=25.1'; \
	"$$fresh/venv/bin/python" -m pip install --quiet --editable '.[all]' --group test --group check --group bench; \
	{ sed -n '/^#/p' constraints.txt; "$$fresh/venv/bin/python" -m pip freeze --exclude-editable; } > "$$fresh/constraints.txt"; \
	cp "$$fresh/constraints.txt" constraints.txt

clean: ## remove the environment and everything built; the cache folder with the gateway and Redis stays
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
