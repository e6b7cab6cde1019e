# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames of every kind on their way into the stream."""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np
import pytest
from support.models.random_models import PIXELS, processor, random_clip, random_model
from support.reference.offline import generate
import torch

from streamvlm_ros.engine import ErrorCode, StreamError, StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.models.preprocessing import to_patches


def stream(**settings: Any) -> VideoStreamingInference:
    """Return an engine."""
    return VideoStreamingInference(
        random_model('grouped'), processor(), settings=StreamSettings(**settings)
    )


def test_a_new_size_opens_a_new_segment() -> None:
    """The image size changes in mid-chunk: nothing is lost, and stock says the same."""
    engine = stream()
    clips = random_clip(1, 3, 84, 112), random_clip(2, 2, 112, 56)
    for i, frame in enumerate([*clips[0], *clips[1]]):
        engine.append_frame(frame, 0.5 * i)
    answer, _ = engine.ask('What?', 6)
    assert engine.get_cache_info().frames == 5
    prompt = '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n'
    videos, patches = [], []
    for clip, seconds in (([*clips[0], clips[0][-1]], [0, 1]), (clips[1], [0])):
        cut, grid = to_patches(clip, PIXELS, torch.device('cpu'))
        prompt += f'<|vision_start|>{"<|video_pad|>" * math.prod(grid)}<|vision_end|>'
        videos.append(((grid.t, grid.h, grid.w), seconds))
        patches.append(cut)
    ids = processor().tokenizer.encode(
        f'{prompt}What?<|im_end|>\n<|im_start|>assistant\n', add_special_tokens=False
    )
    tokens, _ = generate('grouped', ids, videos, torch.cat(patches), 6, 258)
    assert answer == processor().tokenizer.decode(tokens, skip_special_tokens=True).strip()


def test_stamps_that_go_back_start_an_epoch() -> None:
    """The frame that came early is the first of a new stream."""
    engine = stream()
    frames = random_clip(1, 6, 56, 56)
    for frame, stamp in zip(frames[:5], (5.0, 5.5, 6.0, 6.5, 7.0)):
        engine.append_frame(frame, stamp)
    engine.append_frame(frames[5], 1.0)
    info = engine.get_cache_info()
    assert (info.epoch, info.frames, info.tokens, info.oldest_stamp_ns) == (1, 1, 0, 10**9)


def test_equal_stamps_are_taken() -> None:
    """Time stands still, the stream does not."""
    engine = stream()
    for frame in random_clip(1, 4, 56, 56):
        engine.append_frame(frame, 3.0)
    assert engine.get_cache_info().frames == 4
    assert engine.get_cache_info().epoch == 0


def test_uniform_time_ignores_stamps() -> None:
    """With time_source uniform a jittered stream positions as an even one."""
    positions = []
    for stamps in ((0, 0.1, 7, 7.1), (0, 0.5, 1, 1.5)):
        engine = stream(time_source='uniform', sample_rate=2.0)
        for frame, stamp in zip(random_clip(1, 4, 56, 56), stamps):
            engine.append_frame(frame, stamp)
        positions.append(engine.get_cache_info().last_cache_position)
    assert positions[0] == positions[1]


def test_a_full_cache_goes_on_with_the_newest_frames() -> None:
    """Nothing is refused: the oldest temporal patches go, counted, and it says what is left."""
    engine = stream(capacity=80, chunk_frames=2)
    for i, frame in enumerate(random_clip(1, 40, 56, 56)):
        engine.append_frame(frame, 0.5 * i)
    info = engine.get_cache_info()
    # 80 slots keep 70 tokens: 45 of the prefix, and 6 patches of 4.
    assert (info.tokens, info.capacity, info.evicted_tokens) == (69, 80, 4 * (20 - 6))
    assert (info.frames, info.oldest_stamp_ns) == (12, 14 * 10**9)
    answer = engine.questions.choose('Which?', ('a', 'b'))
    assert (answer.frames, answer.oldest_stamp_ns) == (12, 14 * 10**9)


def test_a_frame_larger_than_the_cache_is_refused_with_what_to_do() -> None:
    """A capacity that not even one temporal patch fits says so."""
    engine = stream(capacity=8)
    with pytest.raises(StreamError, match='raise the capacity'):
        engine.append_frame(random_clip(1, 1, 168, 168)[0], 0)


def test_a_device_error_in_the_prefill_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame whose chunk failed is not taken; given again, the stream is as if it never had."""
    engine, whole = stream(), stream()
    frames = random_clip(1, 4, 56, 56)
    for i, frame in enumerate(frames[:3]):
        engine.append_frame(frame, i)

    def failing(*_: Any) -> NoReturn:
        raise RuntimeError('device lost')

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match='device lost'):
        patch.setattr(type(engine.model), 'encode_video', failing)
        engine.append_frame(frames[3], 3)
    assert engine.get_cache_info().frames == 3
    engine.append_frame(frames[3], 3)
    whole_model_answer = engine.ask('What?', 6)[0]
    for i, frame in enumerate(frames):
        whole.append_frame(frame, i)
    assert whole_model_answer == whole.ask('What?', 6)[0]


@pytest.mark.parametrize(
    'call, sentence',
    [
        (lambda e, f: e.append_frame(f.astype(np.float32) * np.nan), 'float32'),
        (lambda e, f: e.append_frame(f, float('nan')), 'not a time'),
        (lambda e, f: e.append_video_chunk([], fps=2), 'at least one frame'),
        (lambda e, f: e.append_video_chunk([f], fps=0), 'fps above 0'),
        (lambda e, f: e.append_video_chunk([f, f], stamps=[1.0]), '2 frames came with 1'),
    ],
)
def test_bad_frames_are_refused(call: Any, sentence: str) -> None:
    """Each with a sentence, and nothing was taken."""
    engine = stream()
    with pytest.raises(StreamError, match=sentence) as caught:
        call(engine, random_clip(1, 1, 56, 56)[0])
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert engine.get_cache_info().frames == 0


@pytest.mark.parametrize(
    'settings, sentence',
    [
        ({'chunk_frames': 3}, '2, 4, 6, 8'),
        ({'position_mode': 'x'}, 'continuous'),
        ({'sample_rate': -1}, 'sample_rate'),
        ({'capacity': 0}, 'capacity'),
        ({'min_pixels': 9, 'max_pixels': 4}, 'above max_pixels'),
        ({'time_source': 'uniform', 'sample_rate': 0.0}, 'uniform needs'),
        ({'memory_seconds': -1}, 'memory_seconds'),
        ({'kept_turns': 0}, 'kept_turns'),
        ({'memory_seconds': 9.0, 'memory_tokens': 9}, 'Only one of memory_seconds'),
        ({'slack': 1}, 'slack is 1'),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], sentence: str) -> None:
    """Each with a sentence that names the setting."""
    with pytest.raises(StreamError, match=sentence):
        StreamSettings(**settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_gpu_that_is_not_there() -> None:
    """Asking for one is refused with what to do."""
    with pytest.raises(StreamError, match='sees 0 GPUs'):
        VideoStreamingInference(random_model('grouped'), processor(), 'cuda')


def test_reset_is_a_fresh_stream() -> None:
    """After a reset the same frames give the same answer as on a new engine."""
    engine, fresh = stream(), stream()
    engine.append_video_chunk(random_clip(9, 6, 84, 84), fps=2)
    engine.ask('What?', 3, update_state=True)
    engine.reset()
    assert engine.get_cache_info().tokens == 0 and engine.get_cache_info().epoch == 1
    answers = []
    for each in (engine, fresh):
        each.append_video_chunk(random_clip(1, 4, 56, 56), fps=2)
        answers.append(each.ask('What?', 6)[0])
        each.reset()
    assert answers[0] == answers[1]


def test_streams_share_a_model() -> None:
    """Two engines on one model, frame by frame in turns, answer as each alone."""
    clips = [random_clip(seed, 6, 84, 56 * seed) for seed in (1, 2)]
    alone = []
    for clip in clips:
        engine = stream()
        engine.append_video_chunk(clip, fps=2)
        alone.append(engine.ask('What?', 6)[0])
    engines = [stream(), stream()]
    for i in range(6):
        for engine, clip in zip(engines, clips):
            engine.append_frame(clip[i], 0.5 * i)
    assert [engine.ask('What?', 6)[0] for engine in engines] == alone
