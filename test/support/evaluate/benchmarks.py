# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small benchmarks of our own in the published forms: drawn videos with questions."""

from __future__ import annotations

from collections.abc import Sequence
import json
import pathlib
from typing import Any

import av
import numpy as np

from streamvlm_ros.scenes.questions import questions_for
from streamvlm_ros.scenes.scene import HELD_OUT_SEED, make_scene

RATE = 2  # frames a second of the videos
SECONDS = 12
SIZE = (320, 240)
COUNTED = 'How many objects do you see now?'  # `tiny` knows it
# Where the words of the benchmarks' own prompts would be; {:.0} is a place that shows nothing.
OVO_WORDS = f"""
BR_PROMPT_TEMPLATE = '''{{}} {{:.0}}'''
REC_PROMPT_TEMPLATE = '{COUNTED}{{:.0}}'
SSR_PROMPT_TEMPLATE = 'Is there now {{}}?'
CRR_PROMPT_TEMPLATE = 'Can it be told: {{}}?'
raise SystemExit('Nothing of a clone is run.')
"""


def drawn_frames(number: int) -> list[np.ndarray]:
    """Return the frames of a video, RGB uint8 [h, w, 3] each."""
    scene = make_scene(HELD_OUT_SEED + number, seconds=SECONDS)
    return scene.frames_at([i / RATE for i in range(RATE * SECONDS)], SIZE)


def count_at(number: int, seconds: float) -> int | None:
    """Return how many objects are seen at a moment; None: it is not clear."""
    scene = make_scene(HELD_OUT_SEED + number, seconds=SECONDS)
    for question in questions_for(scene, seconds):
        if question.family == 'count':
            return int(question.answer)
    return None


def write_frames(path: pathlib.Path, frames: Sequence[np.ndarray]) -> None:
    """Write a video without loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, _ = frames[0].shape
    with av.open(str(path), 'w') as container:
        lossless = {'qp': '0', 'preset': 'ultrafast', 'g': '8'}
        video = container.add_stream('libx264rgb', rate=RATE, options=lossless)
        video.width, video.height, video.pix_fmt = width, height, 'rgb24'
        for frame in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(video.encode())


def write_json(path: pathlib.Path, value: Any) -> pathlib.Path:
    """Write a file of JSON; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def choice(identity: int, task: str, video: str, realtime: float, **fields: Any) -> dict[str, Any]:
    """Return an annotation of OVO-Bench with options."""
    return {
        'id': identity,
        'task': task,
        'video': video,
        'realtime': realtime,
        'question': 'What colour is the light now?',
        'answer': 'green',
        'options': ['red', 'green', 'blue'],
        'gt': 1,
        **fields,
    }


def forward(identity: int, task: str, video: str, asked: list[dict], **fields: Any) -> dict:
    """Return an annotation of OVO-Bench's forward tasks."""
    fields_of: dict[str, dict[str, Any]] = {
        'REC': {'activity': 'wave', 'start_times': [1], 'end_times': [2]},
        'SSR': {'tutorial': 'Drawn', 'all_steps': ['a'], 'start_time': [1], 'end_time': [2]},
        'CRR': {'question': 'what left', 'answer': 'a ball', 'ask_time': 3, 'clue_time': 5},
    }
    entry = {'id': identity, 'task': task, 'video': video, **fields_of[task], 'test_info': asked}
    return {**entry, **fields}


def ovo_annotations(videos: Sequence[str]) -> list[dict]:
    """Return a question of every task, several at one time, about two videos."""
    first, second = videos
    counted = [
        {'realtime': seconds, 'count': count_at(0, seconds)}
        for seconds in (4, 6, 8, 10)
        if count_at(0, seconds) is not None
    ]
    assert len(counted) > 1
    return [
        *(
            choice(number, task, second, 3.2 + number)
            for number, task in enumerate(('EPM', 'ASI', 'HLD', 'OCR', 'ACR', 'ATR'))
        ),
        # Three at one time, and one that asks for a time behind the end.
        choice(6, 'STU', second, 8.2),
        choice(7, 'FPD', second, 9),
        choice(8, 'OJR', first, 30.5),
        forward(9, 'REC', first, counted),
        forward(
            10,
            'SSR',
            first,
            # Not in the order of the times, as in some of the published ones.
            [
                {'realtime': 7, 'step': 'a ball', 'type': 1},
                {'realtime': 2.5, 'step': 'a cone', 'type': 0},
            ],
        ),
        forward(11, 'CRR', first, [{'realtime': 4, 'type': 0}, {'realtime': 7.0, 'type': 1}]),
    ]
