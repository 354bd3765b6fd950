# `make demo` tells the story, `make test` checks everything with the drills that guard data, `make drills` plays the rest of them, `make fast` is for
# each change while it is made. Each sets up what it needs first; the second time that takes seconds.
PYTHON ?= python3
RUN := .venv/bin/python -m
# Of every run of pytest that takes longer than fast: where its time goes.
SLOWEST := --durations=25

.PHONY: demo test fast drills chaos lab clean check style types rules reference lock sbom audit setup environment browser

demo: setup
	$(RUN) lab.rehearsal.demo

# Two workers until the labs begin: rules and servers wait more than they work.
test: setup check
	$(RUN) pytest -n 2 --dist loadscope --no-loadscope-reorder -m "not rest and not proof" $(SLOWEST)

# Style, types, rules, components and hosts' plans: no root, no lab, no server.
fast: environment style
	@$(MAKE) --no-print-directory -j2 --output-sync=target types rules

# The drills that `make test` leaves out, the proof that drills can fail, and the pages in a browser. Played before an issue is closed.
drills: browser
	$(RUN) pytest -m "rest or proof" $(SLOWEST)

# Random faults: the stories of so many seeds, each with a record in .build/chaos. `make chaos SEED=7` plays that of 7 again.
SEED ?= 1
RUNS ?= 1
chaos: setup
	$(RUN) lab chaos --seed $(SEED) --runs $(RUNS)

# Style and types, without a machine being set up for the lab.
check: style types

style:
	$(RUN) ruff check .
	$(RUN) ruff format --check .

types:
	$(RUN) mypy

# What a bare `pytest` runs, on all cores: many of these tests wait for a limit to be kept.
rules:
	$(RUN) pytest -q -n auto

# The made parts of the documents and the comments of Pulumi.yaml, from the contract.
reference: environment
	scripts/drctl reference

# Every package pinned with its digests, from requirements.in, requirements-dev.in and lab/toolchain/go-wheel.in; asks pip's index. The guests' packages
# are listed from the image in the cache.
lock: environment
	$(RUN) lab.supply.lock

# The list of parts as CycloneDX, .build/sbom.json; and which of them a file in the form of OSV knows a vulnerability of, offline.
sbom: environment
	$(RUN) lab.supply.sbom

OSV ?=
audit: environment
	$(RUN) lab.supply.audit $(OSV)

# A lab that stays until `make clean`.
lab: setup
	$(RUN) lab up

clean:
	$(PYTHON) -m lab down

setup environment browser:
	@command -v $(PYTHON) >/dev/null || { echo "set-up: $(PYTHON) not found, wanted Python 3.11 or newer; run: apt-get install python3 python3-venv" >&2; exit 2; }
	@$(PYTHON) -m lab.setup $(if $(filter environment,$@),python)$(filter browser,$@)
