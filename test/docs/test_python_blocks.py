# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The Python blocks of the documentation run, page by page, from top to bottom.

They run in a folder in which `kitchen.mp4` shows the demo's scene. A block that begins with the
comment `# Needs ...` (a GPU, a running node) is only compiled, in test_code_blocks.py.
"""

from __future__ import annotations

import pathlib
from typing import Any

import cv2
import pytest
from support.pages.blocks import blocks_of, name_of, PAGES

from streamvlm_ros.cli import demo_plan

FRAMES_PER_SECOND = 4.0
MARK = '# Needs '


def runnable(page: pathlib.Path) -> list[tuple[str, str]]:
    """Return place and text of the blocks of a page that run here."""
    return [
        (block.place, block.text)
        for block in blocks_of(page)
        if block.language == 'python' and not block.text.startswith(MARK)
    ]


@pytest.fixture(scope='module')
def video(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return the folder with the video."""
    folder = tmp_path_factory.mktemp('blocks')
    frames = list(demo_plan.make_plan().scene.frames)
    height, width, _ = frames[0].shape
    codec = cv2.VideoWriter_fourcc(*'mp4v')
    writer = cv2.VideoWriter(
        str(folder / 'kitchen.mp4'), codec, FRAMES_PER_SECOND, (width, height)
    )
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return folder


@pytest.mark.parametrize('page', [page for page in PAGES if runnable(page)], ids=name_of)
def test_blocks_run(
    page: pathlib.Path, video: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(video)
    names: dict[str, Any] = {'__name__': '__main__'}
    for place, text in runnable(page):
        exec(compile(text, place, 'exec'), names)
    if page.name == 'README.md':
        assert names['answer'].text == 'white ring'
        assert names['light'].text == 'red'
