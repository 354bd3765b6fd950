# Two commands: `make demo` tells the story, `make test` checks everything, with the drills that guard data (`make drills`: the rest of them). Both set the machine up first; the second time that takes seconds.
PYTHON ?= python3
RUN := .venv/bin/python -m

.PHONY: demo test drills lab clean check setup

demo: setup
	$(RUN) lab.rehearsal.demo

test: setup check
	$(RUN) pytest -m "not rest and not proof"

# The drills that `make test` leaves out, and the proof that drills can fail.
drills: setup
	$(RUN) pytest -m "rest or proof"

# Style and types, without a machine being set up for the lab.
check:
	.venv/bin/python -m ruff check .
	.venv/bin/python -m mypy

# A lab that stays until `make clean`.
lab: setup
	$(RUN) lab up

clean:
	$(PYTHON) -m lab down

setup:
	@command -v $(PYTHON) >/dev/null || { echo "set-up: $(PYTHON) not found, wanted Python 3.11 or newer; run: apt-get install python3 python3-venv" >&2; exit 2; }
	@$(PYTHON) -m lab.setup
