# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A stream that goes off and is restored equals its twin that never did, to the last bit."""

from __future__ import annotations

import random

import pytest
from support.models.random_models import random_clip
from support.streams import clip, everything, stream
from support.whole import sampled

from streamvlm_ros.engine import KVCacheManager, StreamError, VideoStreamingInference

CHOICES = ('yes', 'no', 'left of the door')
# Bars where one kind of stream is as likely as the other; the plain one is the first.
KINDS = (
    dict(),
    dict(position_mode='append', chunk_frames=2),
    dict(time_source='uniform', sample_rate=2.0, every_frame=True),
    dict(skip_static=4.0, chunk_frames=6),
    dict(capacity=900, memory_seconds=20.0, rebase_position=60),
    dict(capacity=300, chunk_frames=2),
)


class Program:
    """Does something at random; the same seed does the same."""

    def __init__(self, engine: VideoStreamingInference) -> None:
        """Work with an engine."""
        self.engine, self.second = engine, 1.0

    def do(self, seed: int, times: int) -> list:
        """Return what the engine has said to some calls."""
        rng = random.Random(seed)
        return [self._call(rng) for _ in range(times)]

    def _call(self, rng: random.Random) -> object:
        """Make a call, and return what came of it without its times."""
        engine, action = self.engine, rng.random()
        try:
            if action < 0.55:
                self.second += rng.choice((0.5, 0.5, 1.0, 4.0))
                stamp = self.second - rng.choice((0.0, 0.0, 0.0, 0.3))
                stamp += 1e5 * (rng.random() < 0.05)
                size = rng.choice(((56, 56), (56, 56), (56, 56), (56, 84)))
                image = random_clip(rng.choice((1, 1, 1, rng.randrange(10**6))), 1, *size)[0]
                engine.append_frame(image, stamp, f'camera_{rng.random()}')
                return engine.score_watches()
            if action < 0.65:
                times = [self.second + 0.5 * i for i in range(1, rng.choice((3, 4)))]
                self.second = times[-1]
                engine.append_video_chunk(clip(rng.randrange(10**6), len(times)), stamps=times)
                return engine.score_watches()
            if action < 0.75:
                answer = engine.ask('What happened?', 3, update_state=rng.random() < 0.5)
                return answer.text, answer.prompt_tokens, answer.frames, answer.epoch
            if action < 0.85:
                return engine.ask_choice('Which?', CHOICES)
            if action < 0.92:
                return engine.watch('Is it?', CHOICES[: rng.choice((2, 3))], hold=1, threshold=0.4)
            if action < 0.96:
                return engine.unwatch(rng.choice(engine.watches()).name)
            if action < 0.98:
                return engine.set_sample_rate(rng.choice((1.0, 2.0, 4.0)))
            return engine.reset() if rng.random() < 0.3 else None
        except (StreamError, IndexError) as error:
            return str(error)


def whole(engine: VideoStreamingInference) -> tuple:
    """Return all of an engine's state."""
    clock, inner = engine.stream.clock, engine.stream
    landmarks = (inner.newest, inner.seen, inner.paired)
    return (
        everything(engine),
        engine.get_cache_info(),
        engine.watches(),
        engine.standing.tokens,
        (clock.sample_rate, clock.since, engine._stamps.doubtful),
        [(frame.stamp_ns, frame.time_ns, frame.frame_id) for frame in inner.pending],
        [frame and frame.number for frame in landmarks],
        inner.still.kept and inner.still.kept.time_ns,
        (inner.chunks_alone, inner.chunks_together, inner.memory.held_up, inner.rebasing.put_off),
    )


@pytest.mark.parametrize('seed', sampled(range(60), 6))
def test_going_on_is_as_if_it_had_never_gone_off(seed: int) -> None:
    """Twins do the same, and one of them something else in between."""
    kind = KINDS[seed % len(KINDS)]
    one, other = Program(stream(**kind)), Program(stream(**kind))
    rng = random.Random(seed)
    restored = 0
    for turn in range(3):
        part = 100 * seed + turn
        assert one.do(part, 8) == other.do(part, 8)
        before, second = whole(one.engine), one.second
        snapshot = one.engine.snapshot()
        for again in range(2):  # a snapshot can be restored more than once
            one.do(part + 50 + again, rng.choice((1, 4, 12)))
            gone_off = whole(one.engine)
            try:
                one.engine.restore(snapshot)
            except StreamError as error:
                assert 'cannot be restored' in str(error)
                assert whole(one.engine) == gone_off  # as it was
                return
            one.second, restored = second, restored + 1
            assert whole(one.engine) == before == whole(other.engine)
    assert one.do(seed, 24) == other.do(seed, 24)
    assert whole(one.engine) == whole(other.engine)
    assert restored == 6


def test_still_frames_stamps_and_counters() -> None:
    """What few random streams come to: a still pair in a chunk, late and doubtful stamps."""
    engine = stream(skip_static=4.0, chunk_frames=6)
    (same,) = clip(0, 1)
    engine.append_video_chunk([same] * 4, stamps=[0.0, 0.5, 1.0, 1.5])
    for i in range(3):
        engine.append_frame(same, 2.0 + i)
    with pytest.raises(StreamError, match='max_gap'):
        engine.append_frame(same, 1e6)
    assert engine.stream.left_out == 2 and len(engine.stream.pending) == 1
    before, snapshot = whole(engine), engine.snapshot()
    engine.append_frame(same, 3.9)  # late
    for i, image in enumerate(clip(2, 10)):
        engine.append_frame(image, 5.0 + i)
    assert engine.get_cache_info().late_frames == 1 and whole(engine) != before
    engine.restore(snapshot)
    assert whole(engine) == before
    engine.append_frame(same, 1e6 + 1)  # it confirms the one before the snapshot
    assert engine.newest_stamp_ns == 1_000_001 * 10**9


def test_an_epoch_in_which_nothing_was_cached_comes_back() -> None:
    engine = stream()
    engine.append_frame(clip(0, 1)[0], 100.0)
    before, snapshot = whole(engine), engine.snapshot()
    for i, image in enumerate(clip(1, 6)):
        engine.append_frame(image, 0.5 * i)
    assert engine.epoch == 1
    engine.restore(snapshot)
    assert whole(engine) == before and engine.epoch == 0


def test_the_manager_takes_a_whole_stream() -> None:
    """It nests, and what the old way forgot comes back too: a frame that waits, and the place."""
    engine, manager = stream(), KVCacheManager()
    wholes = []
    for i in range(3):
        engine.append_video_chunk(clip(i, 4), stamps=[4 * i + 0.5 * j for j in range(4)])
        engine.append_frame(clip(9, 1)[0], 4 * i + 2.0)
        wholes.append(whole(engine))
        manager.snapshot(engine)
        engine.ask('What happened?', 2, update_state=True)
    for expected in reversed(wholes):
        manager.restore(engine)
        assert whole(engine) == expected
    with pytest.raises(RuntimeError, match='no snapshot'):
        manager.restore(engine)


def test_what_cannot_be_restored_is_refused() -> None:
    """Evicted, moved, reset, or of another stream: a sentence, and the stream stays."""
    engine, manager = stream(capacity=120), KVCacheManager()
    engine.append_video_chunk(clip(0, 4), stamps=[0.0, 0.5, 1.0, 1.5])
    snapshot = engine.snapshot()
    manager.snapshot(engine)
    engine.append_video_chunk(clip(1, 60), stamps=[2.0 + 0.5 * i for i in range(60)])
    before = whole(engine)
    for restore in (lambda: engine.restore(snapshot), lambda: manager.restore(engine)):
        with pytest.raises((StreamError, RuntimeError), match='has been evicted since'):
            restore()
    assert whole(engine) == before
    fresh = engine.snapshot()
    with pytest.raises(StreamError, match='of another stream'):
        stream().restore(fresh)
    engine.reset()
    with pytest.raises(StreamError, match='the stream was reset'):
        engine.restore(fresh)
    assert engine.epoch == 1
