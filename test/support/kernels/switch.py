# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Switches a random model to the passes of a GPU, with interpreted kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
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

    def _capture(self, work: Any) -> Any:
        self.captured += 1
        work.replay = work.run
        return work


class Calls:
    """Counts what goes through kernels, and fails where it should have."""

    def __init__(self, model: Any) -> None:
        replayed: Any = DevicePasses(weakref.proxy(model))  # type: ignore[arg-type]
        self.passes = replayed
        replayed.graphs = Replayed()
        self.done: list[bool] = []
        prefill = replayed.prefill

        def spy(*args: Any) -> Any:
            done, logits = prefill(*args)
            self.done.append(done)
            return done, logits

        replayed.prefill = spy


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Calls]:
    """Return what switches a random model to kernels."""

    def switch(model: Any) -> Calls:
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
