# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# For machines without ROS: each target sets up what it needs. `make help` lists the targets.

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format docs train clean

export PYTHON

SOURCES := streamvlm_ros launch scripts test training $(wildcard benchmark) setup.py
RUN := scripts/with_ros
JSON ?=

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

setup:  ## virtual environment, packages, interfaces; PYTHON=... picks another Python
	@python=$$(scripts/find_python) && "$$python" -m scripts.setup

demo: setup  ## play a bag, ask questions while it plays; JSON=1: one JSON object on stdout
	@$(RUN) python -m streamvlm_ros.cli.main demo $(if $(filter-out 0,$(JSON)),--json)

test: lint  ## set-up, ruff, mypy and every test
	@$(RUN) python -m pytest test

lint: setup  ## ruff and mypy
	@.venv/bin/python -m ruff check $(SOURCES)
	@.venv/bin/python -m mypy

format: setup  ## sort imports and mend what ruff can
	@.venv/bin/python -m ruff check --fix $(SOURCES)

docs: setup  ## write docs/interfaces.md out of the interfaces' comments and the parameters
	@$(RUN) python -m scripts.docs

train: setup  ## train the embedded model in its smallest form, to see that it works
	@$(RUN) python -m training.train --toy

clean:  ## remove everything that was built or installed here
	rm -rf .venv build install log .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
