# Two commands for a newcomer: `make demo` and `make test`. Both install what is missing first; running them again takes seconds.
PYTHON ?= python3
BIN := .venv/bin
VIEW_SOURCES := $(shell find labextension/src labextension/schema labextension/scripts labextension/tsconfig.json -type f 2>/dev/null)

.PHONY: help demo demo-lti test lint install wheel clean pictures words
help:  ## This list.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## */\t/' | expand -t 12

demo: install image  ## Start everything and print the URL of JupyterLab on the first notebook; Ctrl-C stops it all.
	@exec $(BIN)/labkit demo

demo-lti: install-test image  ## A course to click in, with labkit as its tool, until Ctrl-C.
	@$(BIN)/python -m tests.support.platform

test: install-test image lint  ## The whole test-suite, browser tests included.
	cd labextension && npm run --silent test
	$(BIN)/pytest -n logical --maxprocesses 4 --dist loadfile $(PYTEST_ARGS)

lint: .venv/installed labextension/node_modules/installed  ## Style, types and structure.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd labextension && npm run --silent typecheck && npm run --silent notices -- --check

words:  ## labkit's own words in other languages, compiled for gettext.
	$(BIN)/pybabel compile -D labkit -d labkit/locale

.PHONY: packages packages-test install-test image
packages:
	@deploy/install-debian-packages deploy/debian-packages.txt

packages-test:
	@deploy/install-debian-packages deploy/debian-packages.txt deploy/debian-packages-test.txt

install: packages .venv/installed labkit/static/built

install-test: packages-test .venv/installed labkit/static/built

wheel: .venv/installed labkit/static/built  ## dist/labkit-VERSION-py3-none-any.whl: to install where there is no Node.
	$(BIN)/python -m hatchling build -t wheel

image: .venv/installed  ## The tiny machine image, built from Debian packages once.
	@$(BIN)/labkit images build tiny

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo python3-venv > .venv-package; deploy/install-debian-packages .venv-package; rm .venv-package; }
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@echo "Installing Python packages into .venv (one to three minutes the first time)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[jupyter,lti,engine,dev]'
	@touch $@

labextension/node_modules/installed: labextension/package.json labextension/package-lock.json
	cd labextension && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

labkit/static/built: labextension/node_modules/installed $(VIEW_SOURCES)
	cd labextension && npm run --silent build
	@mkdir -p .venv/share/jupyter/labextensions && rm -rf .venv/share/jupyter/labextensions/labkit
	@ln -s $(CURDIR)/labkit/labextension .venv/share/jupyter/labextensions/labkit
	@touch $@

clean:  ## Remove what was built here (not the labs, nor the image).
	rm -rf .venv labextension/node_modules labextension/lib labkit/static labkit/labextension test-output dist

pictures:  ## Copy the README's picture from the last test run.
	mkdir -p docs/pictures && cp test-output/2-terminal.png docs/pictures/first-lab.png
