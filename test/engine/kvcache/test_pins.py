# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Slots under open answers: read in place, never given away, let go when the answer is."""

from __future__ import annotations

import random

import pytest
from support.models.random_models import SHAPES
from support.streams import clip, stream
from support.whole import sampled
import torch

from streamvlm_ros.engine import ErrorCode, StreamError


@pytest.mark.parametrize('mode', ['continuous', 'append'])
def test_an_open_answer_sees_what_it_saw(mode: str) -> None:
    """Everything that it reads is evicted under it; it answers as with the stream halted."""
    answers = []
    for halted in (True, False):
        engine = stream(capacity=400, memory_seconds=4.0, chunk_frames=2, position_mode=mode)
        for i, frame in enumerate(clip(1, 16)):
            engine.append_frame(frame, 0.5 * i)
        opened = engine.questions.open('What happened?', 12)
        seen = [entry for entry in engine.stream.cache.entries if entry.info.time_ns]
        more = iter(enumerate(clip(2, 60), 16))
        while not opened.ended:
            for _ in range(0 if halted else 6):
                i, frame = next(more, (0, None))
                if frame is not None:
                    engine.append_frame(frame, 0.5 * i)
            engine.questions.decode([opened])
        if not halted:
            assert not set(seen) & set(engine.stream.cache.entries)
        answers.append(engine.questions.close(opened).text)
    assert answers[0] == answers[1]


def test_no_slot_is_reused_under_an_open_answer() -> None:
    """Bytes stay as they are; full up, frames are refused until the answer is closed."""
    engine = stream(capacity=110, chunk_frames=2)
    cache = engine.stream.cache
    frames = clip(1, 80)
    for i, frame in enumerate(frames[:40]):
        engine.append_frame(frame, 0.5 * i)
    opened = engine.questions.open('What happened?', 20)
    spans = opened.context.prefix
    before = [
        torch.cat(side, 1)
        for layer in range(len(cache.keys))
        for side in zip(*cache.buffer.views(layer, spans))
    ]
    taken = 40
    assert not engine.stream.must_wait
    with pytest.raises(StreamError, match='when an answer has ended') as caught:
        for i in range(40, 80):
            engine.append_frame(frames[i], 0.5 * i)
            taken += 1
    assert caught.value.code is ErrorCode.OUT_OF_MEMORY
    assert 44 <= taken < 80 and engine.stream.must_wait
    after = [
        torch.cat(side, 1)
        for layer in range(len(cache.keys))
        for side in zip(*cache.buffer.views(layer, spans))
    ]
    assert all(torch.equal(a, b) for a, b in zip(before, after))
    engine.questions.close(opened)
    assert not engine.stream.must_wait
    for i in range(taken, 80):
        engine.append_frame(frames[i], 0.5 * i)
    assert engine.get_cache_info().stamp_ns == round(39.5 * 1e9)


def test_a_forgotten_answer_holds_nothing() -> None:
    """Whoever drops an open question without closing it gives its slots back too."""
    engine = stream(capacity=110, chunk_frames=2)
    for i, frame in enumerate(clip(1, 120)):
        if i % 20 == 10:
            opened = engine.questions.open('What?', 5)
        if i % 20 == 12:
            assert engine.stream.cache.pinned
            del opened
        engine.append_frame(frame, 0.5 * i)
    assert not engine.stream.cache.pinned


def test_a_reset_ends_what_reads() -> None:
    """A branch from before a reset is told so; the new stream has all slots."""
    engine = stream(capacity=110, chunk_frames=2)
    for i, frame in enumerate(clip(1, 20)):
        engine.append_frame(frame, 0.5 * i)
    opened = engine.questions.open('What?', 5)
    engine.reset()
    assert engine.stream.cache.free == 110
    with pytest.raises(StreamError, match='was reset') as caught:
        engine.questions.decode([opened])
    assert caught.value.code is ErrorCode.RESET_DURING_ANSWER


@pytest.mark.parametrize('seed', sampled(range(20), 6))
def test_a_readers_spans_are_its_units_slots(seed: int) -> None:
    """Whatever happens: disjoint, in order, not free, and those of an open pin unharmed."""
    rng = random.Random(seed)
    engine = stream(
        list(SHAPES)[seed % 3],
        capacity=rng.choice((120, 160)),
        chunk_frames=2,
        kept_turns=2,
        rebase_position=rng.choice((0, 90)),
        position_mode=('continuous', 'append')[seed % 2],
    )
    cache = engine.stream.cache
    opened, second, owners = [], 0.0, {}
    for step in range(120):
        action = rng.random()
        try:
            if action < 0.7:
                second += rng.choice((0.25, 0.5, 2.0))
                engine.append_frame(clip(step, 1)[0], second)
            elif action < 0.8 and len(opened) < 3 and step:
                question = engine.questions.open('What?', 6)
                opened.append((question, question.context.prefix, list(cache.entries)))
            elif action < 0.9 and opened:
                engine.questions.close(opened.pop(rng.randrange(len(opened)))[0])
            elif step and not opened:
                engine.ask('What?', 2, update_state=True)
        except StreamError as error:
            assert error.code in (ErrorCode.OUT_OF_MEMORY, ErrorCode.NO_FRAMES, ErrorCode.BUSY)
        slots = [slot for entry in cache.entries for span in entry.spans for slot in range(*span)]
        seen = [slot for span in cache.spans for slot in range(*span)]
        free = [slot for span in cache._ring.free for slot in range(*span)]
        assert seen == sorted(slots) == sorted(set(slots)) and not set(seen) & set(free)
        assert len(slots) == cache.length == engine.stream.state.length
        for _, spans, entries in opened:
            read = {slot for span in spans for slot in range(*span)}
            assert read == {s for entry in entries for span in entry.spans for s in range(*span)}
            newer = [entry for entry in cache.entries if entry not in entries]
            assert not read & {s for entry in newer for span in entry.spans for s in range(*span)}
        for entry in cache.entries:
            assert entry.positions.shape == (3, entry.tokens)
            owners.setdefault(entry.first, entry.spans)
            assert owners[entry.first] == entry.spans, 'What is cached never moves.'
    assert engine.get_cache_info().evicted_tokens
