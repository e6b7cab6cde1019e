# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is packed for training is what the engine computes when old frames go."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from streamvlm_ros.engine import (
    load_processor,
    StreamQwenModel,
    StreamSettings,
    VideoStreamingInference,
)
from training.batches import collate
from training.data import Clip, ClipSpec, Packer
from training.network import answer_logits, run_model
from training.paper import ENDLESS, Memory

TINY = pathlib.Path('streamvlm_ros/models/tiny')
# Scenes of 4 and of 8 seconds, half a minute between the first two.
REEL = ClipSpec(3, 60, 3.0, (4, 3), False, 4, 12, cuts=(12, 36), gap=30.0)
SPECS = {
    'seconds': dataclasses.replace(REEL, memory=Memory(seconds=5.0)),
    'counted anew': dataclasses.replace(REEL, memory=Memory(seconds=5.0, largest=34)),
    'far ones go': dataclasses.replace(REEL, gap=6.0, memory=Memory(seconds=20.0, largest=40)),
    'tokens': dataclasses.replace(REEL, chunk_frames=8, memory=Memory(tokens=150, largest=60)),
    'append': dataclasses.replace(REEL, append=True, chunk_frames=6, memory=Memory(seconds=4.5)),
    'append, half a chunk goes': dataclasses.replace(
        REEL, append=True, chunk_frames=8, memory=Memory(tokens=170)
    ),
}


@pytest.fixture(scope='module')
def packer() -> Packer:
    return Packer(TINY)


@pytest.fixture(scope='module')
def stock() -> Any:
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(TINY, dtype=torch.float32).eval()


@pytest.fixture(scope='module')
def model() -> StreamQwenModel:
    return StreamQwenModel.from_pretrained(TINY, dtype='float32')


def packed_logits(stock: Any, clip: Clip, spec: ClipSpec) -> torch.Tensor:
    """Return the logits of every branch's first answer token."""
    batch = collate([clip], spec.grid)
    with torch.inference_mode():
        outputs = run_model(stock, batch, load_processor(TINY).pixels)
        logits, _, place = answer_logits(stock, outputs.hidden, batch)
    row = {int(p): i for i, p in enumerate(place[:, 1])}
    return logits[[row[branch.spans[0][0]] for branch in clip.branches]]


def streamed_logits(
    model: StreamQwenModel,
    clip: Clip,
    spec: ClipSpec,
    packer: Packer,
    monkeypatch: pytest.MonkeyPatch,
) -> tuple[torch.Tensor, Any]:
    """Return what the engine has for the same questions at the same moments."""
    engine = VideoStreamingInference(
        model,
        load_processor(TINY),
        settings=StreamSettings(
            sample_rate=0.0,
            chunk_frames=spec.chunk_frames,
            capacity=ENDLESS,
            position_mode='append' if spec.append else 'continuous',
            memory_seconds=spec.memory.seconds,
            memory_tokens=spec.memory.tokens,
            rebase_position=spec.memory.largest,
        ),
    )
    first: dict[int, torch.Tensor] = {}
    stops = {stop.when: stop for stop in packer.trunk(spec, clip.stamps_ns).stops}
    asked_at = [clip.when[branch.spans[0][0]] for branch in clip.branches]
    logits = model.logits
    seen: list[torch.Tensor] = []

    def noting(hidden: torch.Tensor) -> torch.Tensor:
        seen.append(logits(hidden)[-1])
        return logits(hidden)

    monkeypatch.setattr(model, 'logits', noting)
    for number, (frame, stamp) in enumerate(zip(clip.frames, clip.stamps_ns), 1):
        engine.append_frame(frame, 1_000_000_000 + stamp)
        for i, when in enumerate(asked_at):
            if 2 * stops[when].patches == number:
                branch = clip.branches[i]
                if branch.is_choice:
                    continue
                seen.clear()
                engine.ask(branch.question.text, 1)
                first[i] = seen[0]
    monkeypatch.undo()
    return torch.stack([first[i] for i in sorted(first)]), (engine, sorted(first))


@pytest.mark.parametrize('name', SPECS)
def test_packed_is_as_streamed(
    name: str, packer: Packer, stock: Any, model: StreamQwenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = SPECS[name]
    clip = packer.pack(spec)
    streamed, (engine, free) = streamed_logits(model, clip, spec, packer, monkeypatch)
    assert len(free) >= 3 and engine.get_cache_info().evicted_tokens > 100
    assert (engine.stream.cache.rebased > 0) == (spec.memory.largest < 100)
    packed = packed_logits(stock, clip, spec)[free]
    torch.testing.assert_close(packed, streamed, rtol=0.0, atol=2e-4)
    # And it does see that something is gone.
    clip.gone = np.where(clip.owner == 0, clip.gone.max(), clip.gone)
    assert (packed_logits(stock, clip, spec)[free] - streamed).abs().max() > 0.1
