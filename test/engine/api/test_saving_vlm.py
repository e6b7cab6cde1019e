# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""While a file is written or read, other threads append and ask; only the copy is a turn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
import pathlib

import pytest
from support.saving.held_os import HeldOs, PATIENCE
from support.streams import clip, stream

from streamvlm_ros import StreamingVLM
from streamvlm_ros.engine.store import atomic_file, file
from streamvlm_ros.errors import NotActiveError


def shown(vlm: StreamingVLM, frames: int) -> StreamingVLM:
    """Append frames, a second apart."""
    for image in clip(0, frames):
        vlm.append(image)
    return vlm


@pytest.mark.parametrize('verb', ['save', 'load'])
def test_other_threads_go_on(
    verb: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm, path = shown(StreamingVLM(stream(sample_rate=1.0)), 5), tmp_path / 'a'
    vlm.save(path)
    with ThreadPoolExecutor(2) as pool:
        module, name = (atomic_file, 'write') if verb == 'save' else (file, 'preadv')
        held = HeldOs(name)
        monkeypatch.setattr(module, 'os', held)
        call = pool.submit(getattr(vlm, verb), path)
        assert held.reached.wait(PATIENCE)
        try:
            pool.submit(shown, vlm, 2).result(PATIENCE)
            assert vlm.ask('What?', max_new_tokens=3).frames == 7
        finally:
            held.go_on.set()
        assert call.result(PATIENCE).frames == 5
    monkeypatch.undo()
    # What was saved is the stream as it was then; what was loaded replaces the frames since.
    assert vlm.info().frames == (7 if verb == 'save' else 5)
    assert vlm.load(path).frames == 5


def test_closed_while_a_file_is_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vlm, path = shown(StreamingVLM(stream(sample_rate=1.0)), 5), tmp_path / 'a'
    vlm.save(path)
    with ThreadPoolExecutor(1) as pool:
        held = HeldOs('preadv')
        monkeypatch.setattr(file, 'os', held)
        call = pool.submit(vlm.load, path)
        assert held.reached.wait(PATIENCE)
        try:
            vlm.close()
        finally:
            held.go_on.set()
        with pytest.raises(NotActiveError, match='closed'):
            call.result(PATIENCE)
