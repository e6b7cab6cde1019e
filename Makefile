# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# For machines without ROS: each target sets up what it needs. `make help` lists the targets.

.DEFAULT_GOAL := help
.PHONY: help setup demo check test suite ros soak bars coverage lint format docs lock train clean

export PYTHON ROS_DISTRO

SOURCES := streamvlm_ros examples launch scripts test training $(wildcard benchmark)
RUN := scripts/with_ros
JSON ?=
MINUTES ?= 10
SEED ?= 1
# One more than two cores, because about half of the tests wait for processes.
WORKERS ?= 3
# Whole files, in their order, so that a module's tests share its fixtures.
TOGETHER := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# A few of each kind, for the time between two edits; `make test` has them all.
QUICK := test/test_docker.py test/test_package.py test/launch/test_values.py \
    test/launch/test_config.py test/engine/test_positions.py test/engine/kvcache/test_cache.py \
    test/engine/stream/test_stream.py test/engine/questions/test_questions.py \
    test/engine/serving/test_worker.py test/engine/models/test_chat_template.py \
    test/engine/models/test_hostile_model.py \
    test/engine/models/test_hostile_config.py test/nodes/images/test_images.py \
    test/nodes/images/test_compressed.py test/nodes/parameters/test_parameters.py \
    test/nodes/parameters/test_save_paths.py test/scripts test/docs

# What talks to rclpy. The rest is the same code on every distribution.
NEED_ROS := $(sort $(wildcard test/nodes/test_*.py)) test/nodes/interfaces test/nodes/images \
    test/client test/examples test/launch test/bags/test_bags.py test/cli/test_cli.py test/cli/test_interrupts.py \
    test/cli/test_run_source.py test/doctor
CHOSEN = $(shell scripts/distribution)
OTHER = $(if $(filter kilted,$(CHOSEN)),jazzy,kilted)

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

setup:  ## packages, ROS 2, interfaces; ROS_DISTRO=jazzy (default) or kilted, PYTHON=...
	@distribution=$$(scripts/distribution --explain) && python=$$(scripts/find_python) \
	    && "$$python" -m scripts.setup "$$distribution"

demo: setup  ## play a bag, ask questions while it plays; JSON=1: one JSON object on stdout
	@$(RUN) python -m streamvlm_ros.cli.main demo --folder build/demo $(if $(filter-out 0,$(JSON)),--json)

check: lint  ## ruff, mypy and a few tests of each kind: under three minutes
	@$(RUN) python -m pytest -q -x $(QUICK)

test: lint  ## set-up, lint and every test in WORKERS=3 processes; ROS tests on both distributions
	@.venv/bin/python -m scripts.run_tests $(CHOSEN):suite $(OTHER):ros

suite: setup  ## every test, on one distribution
	@$(RUN) python -m pytest $(TOGETHER) test

ros: setup  ## the tests that need ROS: ROS_DISTRO=kilted make ros
	@$(RUN) python -m pytest $(TOGETHER) $(NEED_ROS)

soak: setup  ## a node under abuse, decided by a seed; MINUTES=10 SEED=1
	@$(RUN) python test/soak.py --minutes $(MINUTES) --seed $(SEED)

bars: setup  ## the heavy proofs as a whole, about an hour; results in benchmark/results
	@$(RUN) python -m benchmark.bars

coverage: setup  ## which lines and branches of the engine its tests run, kernels aside; half an hour
	@rm -f .coverage*
	@$(RUN) python -m coverage run -m pytest -q test/engine
	@$(RUN) python -m coverage combine -q
	@$(RUN) python -m coverage report

lint: setup  ## ruff, mypy, spelling, the order of imports, and the limits of files and folders
	@.venv/bin/python -m ruff check $(SOURCES)
	@.venv/bin/python -m ruff format --check -q $(SOURCES)
	@$(RUN) python -m mypy
	@.venv/bin/codespell
	@$(RUN) lint-imports --no-cache
	@$(RUN) python -m scripts.house --check

format: setup  ## format the code, sort imports and mend what ruff can
	@.venv/bin/python -m ruff check --fix $(SOURCES)
	@.venv/bin/python -m ruff format $(SOURCES)

docs: setup  ## write docs/interfaces.md and the picture of the rooms out of the code
	@$(RUN) python -m scripts.docs

lock: setup  ## pin what the packages in requirements/ need in turn
	@.venv/bin/python -m pip install -q uv==0.13.9
	@scripts/lock .venv/bin/uv

train: setup  ## train the embedded model in its smallest form, to see that it works
	@$(RUN) python -m training.train --toy

clean:  ## remove everything that was built or installed here
	rm -rf .venv build install log .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
