# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What must hold for a stream at any moment, whatever was done to it."""

from __future__ import annotations

import itertools

import torch

from streamvlm_ros.engine import VideoStreamingInference
from streamvlm_ros.engine.kvcache.entries import EntryKind


def check_consistent(engine: VideoStreamingInference) -> None:
    """Assert that a stream's cache, positions, frames and counters fit each other."""
    stream = engine.stream
    cache, state = stream.cache, stream.state
    # The cache: no slot is two entries', and what is not an entry's is free.
    own = [span for entry in cache.entries for span in entry.spans]
    assert all(0 <= start < end <= cache.capacity for start, end in own)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(sorted(own)))
    taken = sum(end - start for start, end in own)
    assert cache.free == cache.capacity - taken
    assert taken == cache.length == state.length == sum(entry.tokens for entry in cache.entries)
    assert sorted(_slots(own)) == sorted(_slots(cache.spans))
    assert state.length <= stream.memory.limit
    # Entries: in the order in which they came, the prefix first, positions for every token.
    for before, entry in itertools.pairwise(cache.entries):
        assert before.first + before.tokens <= entry.first and before.born <= entry.born
    kinds = [entry.info.kind for entry in cache.entries]
    assert kinds[:1] in ([], [EntryKind.PREFIX]) and kinds.count(EntryKind.PREFIX) <= 1
    assert EntryKind.TEXT not in kinds
    for entry in cache.entries:
        assert entry.positions is not None and entry.positions.shape == (3, entry.tokens)
        assert int(entry.positions.min()) >= 0
        assert int(entry.positions.max()) <= state.last_cache_position
    # What is cached can be read: no answer comes of what is not a number.
    for layer in range(len(cache.keys)):
        assert all(bool(torch.isfinite(each).all()) for each in cache.content(layer))
    # Frames.
    patches = [entry.info for entry in cache.entries if entry.info.kind is EntryKind.PATCH]
    waiting = [frame.number for frame in stream.pending]
    numbers = [*(label.frame for label in patches), *waiting]
    assert numbers == sorted(set(numbers)) and all(number < stream.frames for number in numbers)
    times = [*(label.time_ns for label in patches), *(frame.time_ns for frame in stream.pending)]
    assert times == sorted(times)
    assert all(frame.image.size for frame in stream.pending)
    assert len({frame.size for frame in stream.pending}) <= 1
    assert len(stream.pending) + stream.left_out < engine.settings.chunk_frames
    assert (stream.newest is None) == (stream.frames == 0)
    # Frames of one number are one object.
    frames = [
        frame
        for frame in (stream.newest, stream.seen, stream.paired, *stream.pending)
        if frame is not None
    ]
    for one, other in itertools.combinations(frames, 2):
        assert (one is other) == (one.number == other.number)
    info = engine.get_cache_info()
    assert info.tokens == state.length and info.last_cache_position == state.last_cache_position
    assert 0 <= info.frames <= stream.frames and info.pending_frames == len(waiting)


def _slots(spans: list | tuple) -> list[int]:
    return [slot for start, end in spans for slot in range(start, end)]
