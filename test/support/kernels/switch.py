# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Switches a random model to the passes of a GPU, with interpreted kernels."""

from __future__ import annotations

import weakref

import pytest
from support.kernels import interpreted

from streamvlm_ros.engine.runner import passes
from streamvlm_ros.engine.runner.cuda_graphs import GraphRunner
from streamvlm_ros.engine.runner.device_passes import DevicePasses
from streamvlm_ros.engine.runner.model_runner import ModelRunner

# In passes of 16 and of 64 rows: what is interpreted takes its time for each row.
QUESTIONS = ('?', 'A box?', 'And now, where does the red one go?')


class Replayed(GraphRunner):
    """Replays by running again: without a GPU there is nothing to record."""

    def _capture(self, work):
        self.captured += 1
        work.replay = work.run
        return work


class Calls:
    """Counts what goes through kernels, and fails where it should have."""

    def __init__(self, model):
        self.passes = DevicePasses(weakref.proxy(model))
        self.passes.graphs = Replayed()
        self.done: list[bool] = []
        prefill = self.passes.prefill

        def spy(*args):
            done, logits = prefill(*args)
            self.done.append(done)
            return done, logits

        self.passes.prefill = spy


@pytest.fixture
def kernels(monkeypatch):
    """Return what switches a random model to kernels."""

    def switch(model) -> Calls:
        calls = Calls(model)
        monkeypatch.setattr(ModelRunner.of(model), 'passes', calls.passes)
        # Interpreted programs run one after another: few large ones are quicker.
        monkeypatch.setattr(passes, 'PROGRAMS', 6)
        monkeypatch.setattr(interpreted.pointwise, 'HEADS', 16)
        for tiles in ('TILES', 'GATED_TILES'):
            monkeypatch.setattr(
                interpreted.rows,
                tiles,
                dict.fromkeys((16, 8, 4), dict.fromkeys((1, 16, 32, 64), (512, 128, 4, 2))),
            )
        return calls

    return switch
