# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Re-basing: keys as if rotated afresh, answers as of a reference that re-bases where it does."""

from __future__ import annotations

import pytest
from support.models.random_models import random_clip, random_model, SHAPES
from support.reference.play import run_case
from support.streams import stream
from support.whole import sampled
import torch

from streamvlm_ros.engine import ErrorCode
from streamvlm_ros.engine.errors import StillReadError
from streamvlm_ros.engine.kvcache.rebase import apply


@pytest.mark.parametrize('seed', sampled(range(100, 140), 12))
def test_answers_equal_the_reference_that_rebases(seed: int) -> None:
    """Every query sees the kept keys at the positions that they had when it came."""
    reference, answers = run_case(seed, rebase_position=(62, 70, 110)[seed % 3])
    assert answers and reference.rebased


@pytest.mark.parametrize('seed', sampled(range(140, 152), 1))
def test_the_same_with_yarn(seed: int) -> None:
    """Its scale is in cached keys once, however often they are counted anew."""
    reference, answers = run_case(seed, (62, 70, 110)[seed % 3], 'yarn')
    assert answers and reference.rebased


def rotated(
    shape: str,
    keys: torch.Tensor,
    places: torch.Tensor,
    back: bool = False,
) -> torch.Tensor:
    """Rotate keys by float32 angles of places [3, n], in float64; or back."""
    rotation = random_model(shape).rotation(places)
    cos, sin = rotation.cos.double(), rotation.sin.double() * (-1 if back else 1)
    first, second = keys.double().chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('axes', [(1, 0, 0), (1, 1, 1)])
def test_turned_keys_equal_keys_rotated_afresh(shape: str, axes: tuple[int, ...]) -> None:
    """To 1e-5, from the largest positions, whichever axes move; what does not move stays."""
    torch.manual_seed(0)
    heads, _, width = stream(shape, capacity=90).stream.cache.keys[0].shape
    raw = torch.randn(heads, 300, width)
    new = torch.randint(0, 5000, (3, 300))
    old = new + torch.tensor(axes)[:, None] * 27000
    keys = rotated(shape, raw, old).float()
    before = keys.clone()
    random_model(shape).rotation.rerotate(old, new)(keys)
    assert (keys - rotated(shape, raw, new)).abs().max() < 1e-5
    assert (keys - before).abs().max() > 0.5
    still = (keys == before).all(dim=1).all(dim=0)
    assert still.any() == (axes != (1, 1, 1))


@pytest.mark.parametrize('mode', ['continuous', 'append'])
@pytest.mark.parametrize('shape', SHAPES)
def test_rebased_keys_equal_keys_rotated_afresh(shape: str, mode: str) -> None:
    """In the cache, in every layer, entry by entry, after turns and a new size."""
    engine = stream(shape, capacity=180, chunk_frames=2, kept_turns=1, position_mode=mode)
    for part, size in enumerate(((56, 56), (56, 84), (56, 84))):
        stamps = [300.0 * part + i for i in range(12)]
        engine.append_video_chunk(random_clip(part, 12, *size), stamps=stamps)
        engine.ask('What?', 2, update_state=part == 0)
    cache, state = engine.stream.cache, engine.stream.state
    before = [
        (layer, entry, entry.positions, keys)
        for layer in range(len(cache.keys))
        for entry, keys in zip(
            cache.entries,
            cache.content(layer)[0].split([entry.tokens for entry in cache.entries], dim=1),
        )
    ]
    following = apply(
        engine.stream.memory,
        state,
        engine.model.position_rule.rebase_plan,
        engine.model.rotation,
        10**6,
    )
    assert following.last_cache_position < state.last_cache_position
    moved = 0
    for layer, entry, old, keys in before:
        now = torch.cat([piece[0] for piece in cache.buffer.views(layer, entry.spans)], dim=1)
        afresh = rotated(shape, rotated(shape, keys, old, back=True), entry.positions)
        assert (now - afresh).abs().max() < 1e-5
        moved += not torch.equal(old, entry.positions)
    assert moved
    again = apply(
        engine.stream.memory,
        following,
        engine.model.position_rule.rebase_plan,
        engine.model.rotation,
        10**6,
    )
    assert again == following and cache.rebased == 1


def test_positions_are_those_of_a_stream_that_began_at_the_window() -> None:
    """Continuous: T begins at the origin again, H and W never moved; so goes what comes next."""
    engine = stream(capacity=100, chunk_frames=2, rebase_position=100)
    for i, frame in enumerate(random_clip(1, 80, 56, 56)):
        engine.append_frame(frame, float(i))
    cache, state = engine.stream.cache, engine.stream.state
    apply(
        engine.stream.memory,
        state,
        engine.model.position_rule.rebase_plan,
        engine.model.rotation,
        100,
    )
    patches = [entry.positions for entry in cache.entries[1:]]
    # 45 tokens of prefix: the origin; two frames a second apart are four steps of T.
    assert [int(place[0, 0]) for place in patches] == [45 + 4 * i for i in range(len(patches))]
    assert all(place[1].tolist() == [45, 45, 46, 46] for place in patches)


def test_no_distance_grows_beyond_what_was_trained() -> None:
    """Days between frames, in either mode, with turns in between: none at any moment."""
    for mode in ('continuous', 'append'):
        engine = stream(
            capacity=300,
            chunk_frames=2,
            rebase_position=200,
            kept_turns=2,
            position_mode=mode,
            max_gap=1e6,
        )
        second = 0.0
        for i, frame in enumerate(random_clip(1, 60, 56, 56)):
            second += 1e5 if i % 8 == 0 else 1
            engine.append_frame(frame, second)
            if i % 20 == 11:
                engine.ask('What?', 2, update_state=True)
            assert engine.stream.state.last_cache_position <= 200 * 4 // 3
            entries = engine.stream.cache.entries
            assert (
                max((int(entry.positions.max()) for entry in entries), default=0) <= 200 * 4 // 3
            )
        assert engine.stream.cache.rebased


def test_rebasing_waits_for_open_answers() -> None:
    """While a branch reads the keys they stay, and so does the stream; then both go on."""
    answers, frames = [], random_clip(2, 10, 56, 56)
    for halted in (True, False):
        engine = stream(capacity=200, chunk_frames=2, rebase_position=90, memory_seconds=5.0)
        for i, frame in enumerate(random_clip(1, 12, 56, 56)):
            engine.append_frame(frame, float(i))
        opened = engine.questions.open('What happened?', 10)
        rebased, taken = engine.stream.cache.rebased, 0
        if not halted:
            with pytest.raises(StillReadError, match='counted anew') as caught:
                for taken, frame in enumerate(frames):
                    engine.append_frame(frame, 30.0 + taken)
            assert caught.value.code is ErrorCode.BUSY and engine.stream.must_wait
            with pytest.raises(StillReadError):
                engine.ask('What?', 1)
        while not opened.ended:
            engine.questions.decode([opened])
        assert engine.stream.cache.rebased == rebased
        assert engine.questions.must_wait == (not halted)
        answers.append(engine.questions.close(opened).text)
        assert not engine.questions.must_wait and not engine.stream.must_wait
        for i in range(taken, 10):
            engine.append_frame(frames[i], 30.0 + i)
    assert answers[0] == answers[1]
    assert engine.stream.cache.rebased > rebased
    assert engine.get_cache_info().stamp_ns == 39 * 10**9
