# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Still scenes: what counts as still, what is left out, and that nothing else changes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from support.models.random_models import PIXELS, processor, random_clip, random_model
from support.reference.offline import generate
import torch

from streamvlm_ros.engine import StreamError, StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig, to_patches
from streamvlm_ros.engine.models.qwen2_5_vl.model import QWEN2_5_VL
from streamvlm_ros.engine.stream.frames import Frame
from streamvlm_ros.engine.stream.static_filter import difference, signature

LEVELS = 4.0
CPU = torch.device('cpu')
TOKENS = 6  # of one temporal patch of 56 x 84 pixels


def picture(seed: int = 1, height: int = 56, width: int = 84) -> np.ndarray:
    return random_clip(seed, 1, height, width)[0]


def noisy(image: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0.0, sigma, image.shape)
    return (image + noise).round().clip(0, 255).astype(np.uint8)


def with_square(image: np.ndarray, x: int, side: int, levels: int = 60) -> np.ndarray:
    """Return the image with a square of another brightness."""
    changed = image.astype(int)
    part = changed[20 : 20 + side, x : x + side]
    part += np.where(part > 127, -levels, levels)
    return changed.astype(np.uint8)


def between(one: np.ndarray, other: np.ndarray, pixels: ImageProcessorConfig = PIXELS) -> float:
    """Return the difference of two patches that show one image each."""
    patches = [signature([Frame(image, 0, 0)] * 2, pixels, CPU) for image in (one, other)]
    return difference(*patches)


def stream(skip_static: float = LEVELS, **settings: Any) -> VideoStreamingInference:
    return VideoStreamingInference(
        random_model('grouped'),
        processor(),
        settings=StreamSettings(skip_static=skip_static, **settings),
    )


def feed(engine: VideoStreamingInference, images: list[np.ndarray], first: int = 0) -> None:
    """Append at 2 Hz, from the frame number on."""
    for i, image in enumerate(images, first):
        engine.append_frame(image, i * 500_000_000 + 10**9)


def kept_patches(engine: VideoStreamingInference) -> int:
    """Return the temporal patches in the cache."""
    state = engine.stream.state
    assert state.segment is not None
    prefix = len(engine.questions._prompt.open_segment(type(engine.stream.place).NOTHING))
    return (state.length - prefix) // TOKENS


def test_noise_is_a_third_of_its_level() -> None:
    """A camera's noise stays under the threshold, up to a tenth of the whole range of levels."""
    image = np.full((224, 224, 3), 128, np.uint8)
    pixels = dataclasses.replace(QWEN2_5_VL.pixels, max_pixels=224 * 224)
    for sigma in (1, 3, 5, 10):
        measured = between(noisy(image, sigma, 1), noisy(image, sigma, 2), pixels)
        assert 0.2 * sigma < measured < 0.4 * sigma


@pytest.mark.parametrize('side', [4, 6, 8])
def test_a_small_thing_counts_wherever_it_stands(side: int) -> None:
    """The stated lower bound holds at every offset to the blocks."""
    image = np.full((56, 84, 3), 128, np.uint8)
    for x in range(14, 29):
        assert between(image, with_square(image, x, side)) >= 60 * side**2 / 196 - 1e-3


def test_colour_without_brightness_counts() -> None:
    """A light that turns from red to green is no still scene."""
    red, green = np.zeros((56, 84, 3), np.uint8), np.zeros((56, 84, 3), np.uint8)
    red[14:28, 14:28, 0], green[14:28, 14:28, 1] = 90, 90
    assert between(red, green) == pytest.approx(60, abs=1)


def test_a_still_patch_is_kept_again_after_ten_minutes() -> None:
    """At one frame a second, an hour of one picture takes six patches."""
    engine = stream()
    for second in range(3600):
        engine.append_frame(picture(), float(second))
    assert kept_patches(engine) == 6


def test_either_frame_of_a_patch_counts() -> None:
    """What flashes up in one of the two frames only is seen."""
    still = [Frame(picture(), 0, 0)] * 2
    flash = Frame(with_square(picture(), 30, 12), 0, 0)
    before = signature(still, PIXELS, CPU)
    for patch in ([still[0], flash], [flash, still[0]]):
        assert difference(before, signature(patch, PIXELS, CPU)) > LEVELS


@pytest.mark.parametrize('mode', ['continuous', 'append'])
def test_a_noisy_still_scene_is_kept_once(mode: str) -> None:
    """Ten seconds of noise take one temporal patch; stamps and frames go on."""
    engine = stream(position_mode=mode)
    feed(engine, [noisy(picture(), 4.0, i) for i in range(20)])
    after_one = stream(position_mode=mode)
    feed(after_one, [picture()] * 2)
    after_one.stream.flush()
    info = engine.get_cache_info()
    assert info.tokens == after_one.get_cache_info().tokens
    assert (info.frames, info.skipped_patches, info.pending_frames) == (20, 9, 0)
    assert info.stamp_ns == 19 * 500_000_000 + 10**9
    answer = engine.questions.choose('Which?', ['left', 'right'])
    assert (answer.stamp_ns, answer.frames) == (info.stamp_ns, 20)


def test_slow_drift_adds_up() -> None:
    """Every patch is nearly the one before; compared with the last kept one it shows."""
    base = np.full((56, 84, 3), 60, np.uint8)
    engine = stream()
    feed(engine, [base + np.uint8(i // 2) for i in range(64)])
    # Levels 60 to 91, kept whenever 5 levels have added up.
    assert kept_patches(engine) == 7
    assert engine.get_cache_info().skipped_patches == 32 - 7


@pytest.mark.parametrize('mode', ['continuous', 'append'])
def test_only_the_event_is_encoded(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small thing comes and goes in a noisy scene: the ViT runs three times."""
    engine = stream(position_mode=mode)
    calls = []
    encode = engine.model.encode_video
    monkeypatch.setattr(
        engine.model,
        'encode_video',
        lambda patches, grid: calls.append(grid.t) or encode(patches, grid),
    )
    scene = [picture()] * 24
    scene[10:14] = [with_square(picture(), 30, 8)] * 4
    feed(engine, [noisy(image, 2.0, i) for i, image in enumerate(scene)])
    # The first patch; the thing, whose second patch is as its first; the empty scene again.
    assert calls == [1, 1, 1]
    assert engine.get_cache_info().skipped_patches == 9


def test_cached_is_what_a_stream_of_the_kept_patches_has() -> None:
    """Against stock: kept patches with their true times, the skipped time before the question."""
    images = [picture(1)] * 6 + [picture(2)] * 4 + [picture(3)] * 2 + [picture(3)] * 4
    engine = stream()
    feed(engine, images)
    engine.ask('What?', 6)
    # Kept: the patches at 0 s, 3 s and 5 s; the last, left out, is that at 7 s.
    patches, grid = to_patches([picture(i) for i in (1, 1, 2, 2, 3, 3)], PIXELS, CPU)
    prompt = (
        '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n'
        f'<|vision_start|>{"<|video_pad|>" * math.prod(grid)}<|vision_end|>'
        'What?<|im_end|>\n<|im_start|>assistant\n'
    )
    ids = processor().tokenizer.encode(prompt, add_special_tokens=False)
    assert engine.stream.state.segment is not None
    origin = engine.stream.state.segment.origin
    assert engine.get_cache_info().last_cache_position == origin + 14
    # The reference lets no time pass without tokens: it is asked before the still tail comes.
    short = stream()
    feed(short, images[:12])
    stock, _ = generate('grouped', ids, [((3, grid.h, grid.w), [0, 3, 5])], patches, 6, 258)
    expected = processor().tokenizer.decode(stock, skip_special_tokens=True).strip()
    assert short.ask('What?', 6)[0] == expected
    for mine, other in zip(engine.stream.cache.keys, short.stream.cache.keys):
        length = engine.get_cache_info().tokens
        assert length == short.get_cache_info().tokens
        torch.testing.assert_close(mine[:, :length], other[:, :length], rtol=0, atol=1e-5)


def test_a_question_stands_where_it_would_behind_the_skipped_patches() -> None:
    """Text behind a still stretch starts at the position that the unskipped stream gives it."""
    images = [picture(1)] * 4 + [picture(2)] * 13
    positions = []
    for levels in (0.0, LEVELS):
        engine = stream(levels)
        feed(engine, images)
        engine.stream.flush()
        positions.append(engine.get_cache_info().last_cache_position)
    assert positions[0] == positions[1]


@pytest.mark.parametrize('chunk_frames', [2, 4, 8])
def test_a_chunk_fills_with_skipped_frames_too(chunk_frames: int) -> None:
    """What is new is in the cache no later than without skipping."""
    engine, plain = stream(chunk_frames=chunk_frames), stream(0.0, chunk_frames=chunk_frames)
    for i in range(33):
        image = picture(3) if i in (14, 15) else picture(1)
        for each in (engine, plain):
            each.append_frame(image, i * 500_000_000)
        if (i + 1) % chunk_frames == 0:
            assert engine.get_cache_info().pending_frames == 0
            assert plain.get_cache_info().pending_frames == 0
    assert kept_patches(engine) == 3
    assert engine.get_cache_info().pending_frames == 1


def test_an_odd_newest_frame_is_seen_by_a_question() -> None:
    """A change that has come with half a patch only is in the answer's branch."""
    engine, plain = stream(), stream(0.0)
    for each in (engine, plain):
        feed(each, [picture(1)] * 2 + [picture(2)])
    assert engine.ask('What?', 6)[0] == plain.ask('What?', 6)[0]
    info = engine.get_cache_info()
    # Only chunks leave frames out or take them; a question changes nothing.
    assert (info.pending_frames, info.skipped_patches) == (3, 0)


@pytest.mark.parametrize('last', [1, 2])
def test_an_odd_chunk_is_completed_or_left_out(last: int) -> None:
    """``append_video_chunk`` completes its last frame; as a patch it may be still too."""
    engine = stream()
    engine.append_video_chunk([picture(1)] * 4 + [picture(last)], fps=2.0)
    assert kept_patches(engine) == last
    info = engine.get_cache_info()
    assert (info.pending_frames, info.skipped_patches, info.frames) == (0, 3 - last, 5)


def test_a_new_size_is_new() -> None:
    """Images of another size begin a segment, though they show the same grey."""
    engine = stream()
    grey = [np.full((height, 84, 3), 99, np.uint8) for height in (56, 84)]
    feed(engine, [grey[0]] * 6 + [grey[1]] * 6 + [grey[0]] * 4)
    assert engine.get_cache_info().skipped_patches == 2 + 2 + 1


def test_a_new_epoch_keeps_its_first_patch() -> None:
    """After a reset there is nothing to compare with; the count goes on."""
    engine = stream()
    feed(engine, [picture()] * 8)
    engine.reset()
    assert engine.get_cache_info().tokens == 0
    feed(engine, [picture()] * 8)
    assert kept_patches(engine) == 1
    assert engine.get_cache_info().skipped_patches == 6


def test_behind_a_kept_turn_the_scene_is_seen_anew() -> None:
    """A question that stays closes the segment; the next patch opens one, still or not."""
    engine = stream()
    feed(engine, [picture()] * 4)
    engine.ask('What?', 2, update_state=True)
    before = engine.get_cache_info()
    feed(engine, [picture()] * 4, first=4)
    after = engine.get_cache_info()
    assert after.tokens > before.tokens + TOKENS
    assert after.skipped_patches == before.skipped_patches + 1


def test_what_is_still_pushes_nothing_out() -> None:
    """A full memory keeps what it has for as long as nothing new comes."""
    engine = stream(capacity=80, chunk_frames=2)
    feed(engine, [picture(i // 2) for i in range(12)])
    full = engine.get_cache_info()
    assert full.evicted_tokens > 0
    feed(engine, [picture(5)] * 41, first=12)
    still = engine.get_cache_info()
    assert (still.tokens, still.evicted_tokens) == (full.tokens, full.evicted_tokens)
    assert still.frames == full.frames + 41
    feed(engine, [picture(6)], first=53)
    assert engine.get_cache_info().evicted_tokens > full.evicted_tokens


def test_a_patch_that_was_not_taken_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device fails in the prefill; the next patch is compared with the one before."""
    engine = stream(chunk_frames=2)
    feed(engine, [picture(1)] * 2 + [picture(2)])
    tokens = engine.get_cache_info().tokens
    with monkeypatch.context() as broken:
        broken.setattr(engine.model, 'prefill', lambda *_: 1 / 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                feed(engine, [picture(2)], first=3)
    assert engine.get_cache_info().frames == 3
    feed(engine, [picture(2)] * 3, first=3)
    info = engine.get_cache_info()
    assert (info.tokens, info.skipped_patches) == (tokens + TOKENS, 1)


def test_off_by_default() -> None:
    """Nothing is left out unless it is asked for."""
    engine = VideoStreamingInference(random_model('grouped'), processor())
    feed(engine, [picture()] * 8)
    assert kept_patches(engine) == 4
    with pytest.raises(StreamError, match='skip_static is -1'):
        StreamSettings(skip_static=-1)
    with pytest.raises(StreamError, match='skip_static is nan'):
        StreamSettings(skip_static=float('nan'))
