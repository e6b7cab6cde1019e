# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the answers are right: the embedded model on held-out scenes, by the truth alone."""

from __future__ import annotations

import pytest
from support.models.tiny_model import tiny

from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.models.qwen2_5_vl import positions
from streamvlm_ros.scenes.questions import questions_for
from streamvlm_ros.scenes.scene import HELD_OUT_SEED, make_scene

pytestmark = pytest.mark.slow

SEEDS = range(HELD_OUT_SEED + 500, HELD_OUT_SEED + 506)
SECONDS = 12.0
# Asked on the way, too: a question that is not taken back spoils those behind it.
MOMENTS = (5.0, 8.5, SECONDS)
EACH = 12  # questions at each moment, in turn as free text and as a choice


def accuracy(
    family: str = '', *, swap_channels: bool = False, keep_questions: bool = False
) -> float:
    """Return the share of right answers, of one family only if asked for; with a fault or none."""
    asked = right = 0
    for seed in SEEDS:
        scene = make_scene(seed, seconds=SECONDS, fps=2.0, size=(320, 240))
        engine = VideoStreamingInference(*tiny(), settings=StreamSettings(sample_rate=0.0))
        frames = list(zip(scene.frames, scene.stamps_ns))
        for at in MOMENTS:
            while frames and (frames[0][1] - scene.stamps_ns[0]) / 1e9 <= at:
                image, stamp = frames.pop(0)
                engine.append_frame(image[..., ::-1] if swap_channels else image, stamp)
            questions = [q for q in questions_for(scene, at) if family in ('', q.family)]
            for number, question in enumerate(questions[:EACH]):
                if number % 2 and not keep_questions:
                    given = engine.ask_choice(question.text, question.choices).text
                else:
                    given, _ = engine.ask(question.text, 16, update_state=keep_questions)
                asked += 1
                right += given == question.answer
    assert asked >= 10
    return right / asked


def test_the_answers_are_right() -> None:
    assert accuracy() >= 0.93
    assert accuracy('when') >= 0.85


def test_swapped_channels_show() -> None:
    assert accuracy(swap_channels=True) < 0.8


def test_a_question_that_is_not_taken_back_shows() -> None:
    assert accuracy(keep_questions=True) < 0.8


def test_wrong_positions_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every temporal patch at the time of the first, as with seconds cut to a step of 0."""
    monkeypatch.setattr(positions, 'video_steps', lambda *_: 0)
    assert accuracy('when') < 0.7
