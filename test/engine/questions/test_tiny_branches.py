# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The promises about branches once more with the embedded model, whose answers have meaning."""

from __future__ import annotations

import functools
from typing import Any

from support.models.tiny_model import tiny

from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.scenes.questions import questions_for
from streamvlm_ros.scenes.scene import HELD_OUT_SEED, make_scene, Scene

SECONDS, FPS, SEEN = 60.0, 4.0, 40  # frames before the questions


@functools.cache
def scene() -> Scene:
    return make_scene(HELD_OUT_SEED + 77, seconds=SECONDS, fps=FPS, size=(112, 84))


def stream(frames: int) -> VideoStreamingInference:
    engine = VideoStreamingInference(*tiny(), settings=StreamSettings(sample_rate=0.0))
    feed(engine, 0, frames)
    return engine


def feed(engine: VideoStreamingInference, first: int, last: int) -> None:
    for image, stamp in list(zip(scene().frames, scene().stamps_ns))[first:last]:
        engine.append_frame(image, stamp)


def questions() -> list[str]:
    return [q.text for q in questions_for(scene(), SEEN / FPS)][:8]


def finish(engine: VideoStreamingInference, opened: list[Any]) -> list[str]:
    while waiting := [question for question in opened if not question.ended]:
        engine.questions.decode(waiting)
    return [engine.questions.close(question).text for question in opened]


def test_eight_together_equal_the_eight_alone() -> None:
    engine = stream(SEEN)
    together = finish(engine, [engine.questions.open(text, 16) for text in questions()])
    assert len(together) == 8 and len(set(together)) > 2
    assert together == [stream(SEEN).ask(text, 16)[0] for text in questions()]


def test_an_answer_among_fifty_chunks_equals_the_halted_one() -> None:
    text = 'How warm is it in the room?'  # refused, in many tokens
    halted = stream(SEEN).ask(text, 16)[0]
    engine = stream(SEEN)
    opened = engine.questions.open(text, 16)
    for chunk in range(50):
        feed(engine, SEEN + 4 * chunk, SEEN + 4 * chunk + 4)
        if chunk % 10 == 0 and not opened.ended:
            engine.questions.decode([opened])
    assert len(opened.tokens) >= 5
    assert finish(engine, [opened]) == [halted]
    unasked = stream(SEEN + 200)
    assert engine.get_cache_info() == unasked.get_cache_info()
    for text in questions():
        assert engine.ask(text, 16)[0] == unasked.ask(text, 16)[0]
