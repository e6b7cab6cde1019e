# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from streamvlm_ros.engine.models.prompt import choice_text
from streamvlm_ros.scenes.questions import choice_prompt, FAMILIES, questions_for, REFUSAL
from streamvlm_ros.scenes.render import RGB
from streamvlm_ros.scenes.scene import make_scene


def test_a_seed_gives_the_same_scene_twice() -> None:
    first, second = (make_scene(5, seconds=3.0, fps=2.0, size=(112, 84)) for _ in range(2))
    assert first.stamps_ns == second.stamps_ns
    assert all(np.array_equal(a, b) for a, b in zip(first.frames, second.frames))
    assert questions_for(first, 3.0) == questions_for(second, 3.0)


def test_frames_and_stamps_are_as_asked_for() -> None:
    scene = make_scene(1, seconds=4.0, fps=4.0, size=(160, 120))
    assert len(scene.frames) == len(scene.stamps_ns) == 16
    assert scene.frames[0].shape == (120, 160, 3) and scene.frames[0].dtype == np.uint8
    assert all(a < b for a, b in zip(scene.stamps_ns, scene.stamps_ns[1:]))


def test_the_picture_shows_the_colour_that_the_truth_says() -> None:
    checked = 0
    for seed in range(40):
        scene = make_scene(seed, seconds=4.0, fps=2.0, size=(320, 240))
        # The nearest thing is drawn last, so its middle is never hidden.
        ball = max(scene.things, key=lambda t: t.row)
        x = scene.screen_x(ball, 0.0)
        if ball.shape != 'ball' or not 0.1 < x < 0.9:
            continue
        pixel = scene.frames[0][int(ball.row * 240), int(x * 320)] / 255.0
        distance = {name: np.abs(pixel - np.array(rgb)).sum() for name, rgb in RGB.items()}
        assert min(distance, key=lambda name: distance[name]) == ball.colour
        checked += 1
    assert checked >= 3


def test_every_question_has_its_answer_among_different_choices() -> None:
    families = set()
    for seed in range(60):
        for question in questions_for(make_scene(seed, seconds=12.0), 12.0):
            families.add(question.family)
            assert question.answer in question.choices
            assert len(set(question.choices)) == len(question.choices) >= 2
            assert (question.answer == REFUSAL) == (question.family == 'unanswerable')
    assert families == set(FAMILIES)


def test_nothing_from_the_future_is_asked() -> None:
    for seed in range(30):
        scene = make_scene(seed, seconds=12.0)
        for question in questions_for(scene, 4.0):
            if question.family == 'last':
                thing = next(t for t in scene.things if t.name == question.answer)
                assert thing.times[0] < 4.0


def test_asking_before_anything_was_seen_is_refused() -> None:
    with pytest.raises(ValueError, match='one second'):
        questions_for(make_scene(0), 0.5)


def test_the_order_of_choices_does_not_change_the_prompt() -> None:
    assert choice_prompt('Q?', ('b', 'a')) == choice_prompt('Q?', ('a', 'b'))
    assert choice_prompt('Q?', ('b', 'a')).endswith('Answer with one of: a, b.')


def test_the_model_is_trained_on_the_words_that_the_engine_uses() -> None:
    assert choice_prompt('Q?', ('b', 'a')) == choice_text('Q?', ('b', 'a'))
