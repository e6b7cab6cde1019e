# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How large a cache is made, and that it is refused at start where it does not fit."""

from __future__ import annotations

import pathlib

import pytest
from support.models.random_models import random_clip, random_model
from support.streams import stream
import torch

from streamvlm_ros.engine import ErrorCode, StreamError
from streamvlm_ros.engine.kvcache import allocation


def test_budgets_say_how_large_the_cache_is() -> None:
    """Tokens are what is kept, bytes are what is allocated."""
    engine = stream(memory_tokens=700)
    assert engine.stream.memory.limit == 700 and engine.get_cache_info().capacity == 800
    token = random_model('grouped').layer_bytes * 3
    assert token == 2 * 2 * 16 * 4 * 3
    engine = stream(memory_bytes=500 * token + 1)
    assert engine.get_cache_info().capacity == 500
    assert engine.get_cache_info().memory_bytes == 500 * token
    with pytest.raises(StreamError, match=f'takes {token} bytes'):
        stream(memory_bytes=token - 1)


def test_slack_is_room_for_frames_beside_an_open_answer() -> None:
    """With half of the slots slack, a whole window comes while an answer reads the one before."""
    engine = stream(memory_tokens=120, slack=2)
    assert engine.stream.memory.limit == 120 and engine.get_cache_info().capacity == 240
    taken = {}
    for slack in (8, 2):
        engine = stream(memory_tokens=120, slack=slack)
        for i, frame in enumerate(random_clip(0, 80, 56, 56)):
            engine.append_frame(frame, 0.5 * i)
        opened = engine.questions.open('What?', 4)
        before = engine.get_cache_info().evicted_tokens
        for i in range(80, 240):
            if engine.stream.must_wait:
                break
            engine.append_frame(random_clip(i, 1, 56, 56)[0], 0.5 * i)
        taken[slack] = engine.get_cache_info().evicted_tokens - before
        engine.questions.abandon(opened)
    assert taken[2] > 100 > 4 * taken[8] > 0


def test_a_cache_that_does_not_fit_is_refused_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of tokens that would fit is said, and so are the seconds."""
    with pytest.raises(StreamError, match=r'\d+ tokens would fit') as caught:
        stream(capacity=10**12)
    assert caught.value.code is ErrorCode.OUT_OF_MEMORY
    token = random_model('grouped').layer_bytes * 3
    monkeypatch.setattr(allocation, 'available_bytes', lambda device: 1000 * token)
    assert stream(capacity=900, open_views=0).get_cache_info().capacity == 900
    # 6 tokens a temporal patch at the most, one patch a second.
    with pytest.raises(StreamError, match=r'901 tokens .* 900 tokens would fit, which is 150 s'):
        stream(capacity=901, sample_rate=2.0, open_views=0)
    says = r'900 tokens, with room for views of 200 tokens, takes .* 700 tokens would fit'
    with pytest.raises(StreamError, match=says):
        stream(capacity=900, open_views=2, view_tokens=100)


def test_what_the_system_has_left_is_asked(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least of what the machine and the control group leave counts."""
    for name, text in (
        ('meminfo', 'MemTotal: 99 kB\nMemAvailable: 50 kB\n'),
        ('max', '40000\n'),
        ('current', '10000\n'),
        ('none', 'max\n'),
    ):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(allocation, 'MEMINFO', tmp_path / 'meminfo')
    cpu = torch.device('cpu')
    for limit, left in (('max', 30000), ('none', 51200), ('absent', 51200)):
        monkeypatch.setattr(allocation, 'CGROUPS', ((tmp_path / limit, tmp_path / 'current'),))
        assert allocation.available_bytes(cpu) == left
    monkeypatch.setattr(allocation, 'MEMINFO', tmp_path / 'absent')
    assert allocation.available_bytes(cpu) is None
