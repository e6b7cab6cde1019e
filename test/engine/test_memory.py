# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bounded memory: answers equal one forward over the history, masked by what was gone."""

from __future__ import annotations

import gc
import random

import pytest
from random_models import processor, random_clip, random_model, SHAPES
from reference_forward import forward, stock_forward
from reference_memory import ReferenceStream
import torch

from streamvlm_ros.engine import (
    StreamSettings,
    VideoStreamingInference,
)
from streamvlm_ros.engine.kvcache.entries import EntryKind

SIZES = ((56, 56), (84, 56), (56, 112))


def stream(shape: str = 'grouped', **settings) -> VideoStreamingInference:
    """Return an engine on a random model."""
    return VideoStreamingInference(random_model(shape), processor(),
                                   settings=StreamSettings(**{'sample_rate': 0.0, **settings}))


def answer_of(engine, question: str, tokens: int, keep: bool) -> tuple[list[int], torch.Tensor]:
    """Return an answer's tokens and the first one's logits."""
    seen = []
    logits = engine._model.logits
    engine._model.logits = lambda hidden: seen.append(logits(hidden)) or seen[-1]
    try:
        opened = engine.questions.open(question, tokens, keep)
    finally:
        del engine._model.logits
    while not opened.ended:
        engine.questions.decode([opened])
    engine.questions.close(opened)
    return opened.answering.tokens, seen[0][-1]


def run_case(seed: int, rebase_position: int = 0) -> tuple[ReferenceStream, int]:
    """Play a random stream to the engine and the reference; return it and how many answers."""
    rng = random.Random(seed)
    shape, mode = list(SHAPES)[seed % 3], ('continuous', 'append')[seed % 2]
    chunk = rng.choice((2, 4, 6))
    capacity, kept_turns = rng.choice((110, 140, 200)), rng.choice((1, 2))
    seconds = rng.choice((0, 0, 3.0, 6.0))
    engine = stream(shape, position_mode=mode, chunk_frames=chunk, capacity=capacity,
                    memory_seconds=seconds, kept_turns=kept_turns, rebase_position=rebase_position)
    reference = ReferenceStream(shape, chunk, mode == 'append', capacity - capacity // 8, seconds,
                                kept_turns, rebase_position or 10**9)
    size, second, number, answers = rng.choice(SIZES), 0.0, 0, 0
    for round_ in range(8):
        if rng.random() < 0.2:
            size = rng.choice(SIZES)
        for image in random_clip(1000 * seed + round_, rng.randint(1, 9), *size):
            second = round(second + rng.choice((0.125, 0.5, 0.5, 1.0)), 3)
            engine.append_frame(image, second)
            reference.frame(image, second)
            number += 1
        if rng.random() < 0.6 or round_ == 7:
            keep = rng.random() < 0.4
            tokens, logits = answer_of(engine, f'Q{round_}?', 3, keep)
            expected, expected_logits = reference.ask(f'Q{round_}?', 3, keep)
            assert tokens == expected
            assert (logits - expected_logits).abs().max() < 1e-4
            answers += 1
        info = engine.get_cache_info()
        patches = [item for item in reference.items if item.kind == 'patch']
        assert info.tokens == engine._stream.state.length == len(reference.kept())
        assert info.evicted_tokens == reference.evicted
        assert info.last_cache_position == reference.last
        if patches:
            assert info.oldest_stamp_ns == round(patches[0].stamp * 1e9)
            assert info.frames == number - patches[0].frame
    return reference, answers


@pytest.mark.parametrize('seed', range(30))
def test_answers_equal_the_masked_history(seed):
    """Both modes, all shapes: what was evicted before a query came is what it does not see."""
    reference, answers = run_case(seed)
    assert answers and reference.evicted
    assert (forward(reference) - stock_forward(reference)).abs().max() < 1e-4


def clip(seed: int, frames: int):
    """Return small frames: two of them are a temporal patch of four tokens."""
    return random_clip(seed, frames, 56, 56)


def tensor_bytes() -> int:
    """Return the bytes of all tensors that are alive."""
    gc.collect()
    return sum(thing.untyped_storage().nbytes() for thing in gc.get_objects()
               if issubclass(type(thing), torch.Tensor))


def test_memory_is_flat():
    """A few thousand chunks later nothing has grown: tensors, units, spans, positions."""
    engine = stream(capacity=140, chunk_frames=2, rebase_position=200)
    cache, frames = engine._stream.cache, clip(1, 16)
    sizes = {}
    for i in range(4000):
        engine.append_frame(frames[i % 16], 0.25 * i)
        if i % 400 == 399:
            engine.ask('What?', 1, update_state=i % 800 == 799)
        if i in (1500, 3998):
            sizes[i] = tensor_bytes()
        assert len(cache.units) < 40 and len(cache.spans) <= 5
        assert engine._stream.state.last_cache_position <= 210
    assert sizes[1500] == pytest.approx(sizes[3998], rel=0.01)
    info = engine.get_cache_info()
    assert info.evicted_tokens > 4000 and info.tokens <= 123
    assert cache.free + cache.length == 140


def test_seconds_keep_what_was_in_sight():
    """A patch lasts until the next one: the window is covered, and nothing before it is kept."""
    engine = stream(capacity=2000, chunk_frames=2, memory_seconds=5.0)
    for i, frame in enumerate(clip(1, 60)):
        engine.append_frame(frame, 0.5 * i)
    info = engine.get_cache_info()
    assert (info.oldest_stamp_ns, info.stamp_ns) == (24 * 10**9, round(29.5 * 10**9))
    assert info.frames == 12
    # After a minute's pause only the patch that was last seen in it is left of what was before.
    for i, frame in enumerate(clip(2, 2)):
        engine.append_frame(frame, 90 + 0.5 * i)
    assert engine.get_cache_info().oldest_stamp_ns == 29 * 10**9


def test_only_the_newest_turns_are_kept():
    """The oldest turn goes with what leads from it to the next."""
    engine = stream(capacity=4000, kept_turns=2)
    for i in range(4):
        engine.append_video_chunk(clip(i, 4), stamps=[4.0 * i + j for j in range(4)])
        engine.ask(f'Question {i}?', 2, update_state=True)
    turns = [unit.label.group for unit in engine._stream.cache.units
             if unit.label.kind is EntryKind.TURN]
    assert sorted(set(turns)) == [2, 3]
    assert engine.get_cache_info().frames == 16
