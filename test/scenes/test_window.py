# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is asked about a stream whose beginning is gone is what the rest of it settles."""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest

from streamvlm_ros.scenes.questions import Question, questions_for, REFUSAL
from streamvlm_ros.scenes.scene import make_scene, Scene
from streamvlm_ros.scenes.things import COLOURS, Light, SHAPES, Thing
from streamvlm_ros.scenes.window import WHOLE, Window
from training.reel import Reel

# Three scenes of 12 s at 2 frames per second.
LENGTHS = (24, 24, 24)


@pytest.fixture
def reel() -> Reel:
    return Reel(1, LENGTHS, 2.0, (112, 84), 0.0, 3.0)


def thing(name: str, kind: str, times: tuple[float, ...], places: tuple[float, ...]) -> Thing:
    colour, shape = name.split()
    return Thing(colour, shape, kind, times, places, 0.5, 0.08, 0.1)


STANDS = thing('red ball', 'stands', (0.0,), (0.5,))
EARLY = thing('blue box', 'enters', (1.0, 3.0), (-0.2, 0.2))
LATE = thing('green cone', 'enters', (12.0, 14.0), (1.2, 0.8))
GONE = thing('white ring', 'leaves', (2.0, 4.0), (0.5, -0.2))
LIGHT = Light(0.5, (0.0, 5.0, 15.0), ('red', 'green', 'blue'))
OTHER = thing('cyan cross', 'stands', (0.0,), (0.5,))


@pytest.fixture
def scene() -> Scene:
    """Twenty seconds: one stands, one comes at 1 s, one at 12 s, one leaves at 2 s."""
    return dataclasses.replace(
        make_scene(1, seconds=20.0, fps=2.0),
        things=(STANDS, EARLY, LATE, GONE),
        light=LIGHT,
        pan=(0.0, 10.0, 0.0),
    )


def asked(scene: Scene, window: Window, *families: str) -> list[Question]:
    return [
        q
        for q in questions_for(scene, 19.5, window=window)
        if not families or q.family in families
    ]


def about(questions: list[Question], name: str) -> list[Question]:
    return [q for q in questions if name in q.text]


def test_a_window_as_long_as_the_only_scene_hides_nothing() -> None:
    assert Reel(1, (24,), 2.0, (112, 84), 0.0, 0.0).window(0, 23) == WHOLE


def test_a_window_inside_the_scene_that_runs(reel: Reel) -> None:
    window = reel.window(60, 70)
    assert reel.frames[60][0] == 2 and window.since == reel.frames[60][1] > 5.0
    before = [*reel.scenes[0].things, *reel.scenes[1].things]
    assert window == Window(since=window.since, gone=tuple(before))


def test_a_window_that_begins_in_the_scene_before() -> None:
    hidden = 0
    for seed in range(20):
        reel = Reel(seed, LENGTHS, 2.0, (112, 84), 0.0, 3.0)
        first, second, _ = reel.scenes
        window = reel.window(24 + 12, 71)
        assert window.cut and window.since == 0.0
        assert {*window.others, *window.gone} == {*first.things, *second.things}
        assert set(window.others) <= set(second.things)
        assert window.light == (second.light is not None)
        parts = {
            t: [second.visible_part(t, s) for _, s in reel.frames[36:48]] for t in second.things
        }
        assert all(sum(part > 0.5 for part in parts[t]) >= 2 for t in window.others)
        gone = set(window.gone) & set(second.things)
        assert all(sum(part > 0.9 for part in parts[t]) <= 2 for t in gone)
        hidden += len(gone)
    assert hidden > 5


def test_the_more_a_window_shows_the_more_is_not_gone() -> None:
    hidden = 0
    for seed in range(20):
        reel = Reel(seed, LENGTHS, 2.0, (112, 84), 0.0, 3.0)
        others = [set(reel.window(oldest, 71).others) for oldest in range(0, 48, 4)]
        assert all(later <= earlier for earlier, later in itertools.pairwise(others))
        hidden += len(others[0]) - len(others[-1])
        for scene in reel.scenes[:2]:
            assert {t for t in scene.things if t.kind == 'stands'} <= others[0]
    assert hidden > 20


def test_half_a_second_of_the_scene_before_shows_none_of_its_things() -> None:
    reel = Reel(1, LENGTHS, 4.0, (112, 84), 0.0, 3.0)
    window = reel.window(46, 71)
    assert window.cut and not window.others and not window.light
    assert window.gone == (*reel.scenes[0].things, *reel.scenes[1].things)


def test_everything_is_asked_where_nothing_is_gone(scene: Scene) -> None:
    families = {q.family for q in asked(scene, WHOLE)}
    assert families >= {'colour', 'count', 'last', 'order', 'when', 'light', 'seen', 'direction'}
    assert any('total' in q.text or 'different' in q.text for q in asked(scene, WHOLE, 'count'))
    assert about(asked(scene, WHOLE), 'white ring')


def test_what_is_gone_is_neither_known_nor_refused(scene: Scene) -> None:
    """Another past with another thing, or none, would look the same."""
    for window in (Window(since=10.0), Window(gone=(OTHER,))):
        name = 'white ring' if window.since else 'cyan cross'
        colour, shape = name.split()
        for question in asked(scene, window):
            assert name not in question.text and question.answer != name
            # By its shape or its colour alone, as 'What colour is the ring?'.
            words = set(re.findall('[a-z]+', question.text))
            assert shape not in words or words & set(COLOURS)
            assert 'light' in words or colour not in words or words & set(SHAPES)


def test_what_came_in_before_the_window_is_not_dated(scene: Scene) -> None:
    window = Window(since=10.0)
    assert about(asked(scene, WHOLE, 'when'), 'blue box')
    assert not about(asked(scene, window, 'when', 'order', 'direction'), 'blue box')
    # It is in view all the same.
    assert about(asked(scene, window, 'where', 'seen'), 'blue box')
    assert about(asked(scene, window, 'when'), 'green cone')
    # Nobody left in the window, so that what left last cannot be said.
    assert {q.answer for q in asked(scene, window, 'last')} == {'green cone'}
    assert not asked(scene, Window(since=17.0), 'last', 'order')


def test_what_came_in_as_the_window_begins_is_not_dated(scene: Scene) -> None:
    """Whether that is in the window can be argued about; the cone is in at 13.2 s."""
    assert about(asked(scene, Window(since=12.0), 'when'), 'green cone')
    assert asked(scene, Window(since=12.0), 'last')
    assert not about(asked(scene, Window(since=12.6), 'when', 'order'), 'green cone')
    assert not asked(scene, Window(since=12.6), 'last')


def test_a_move_that_was_nearly_over_is_not_asked_about(scene: Scene) -> None:
    assert about(asked(scene, Window(since=12.5), 'direction'), 'green cone')
    assert not about(asked(scene, Window(since=13.5), 'direction'), 'green cone')


def test_how_many_there_were_needs_all_that_there_was(scene: Scene) -> None:
    for window in (Window(since=0.5), Window(gone=(OTHER,)), Window(cut=True)):
        counts = asked(scene, window, 'count')
        assert [q.answer for q in counts] == ['3'] and not counts[0].past


@pytest.mark.parametrize(
    ('window', 'answers'),
    [
        (WHOLE, {'red', 'green', 'blue'}),
        (Window(since=3.0), {'green', 'blue', 'red'}),
        # The change to green is gone: what was first is not known.
        (Window(since=10.0), {'green', 'blue'}),
        (Window(since=14.5), {'blue'}),
        (Window(since=17.0), {'blue'}),
        # The light of the scene before may be what was first.
        (Window(cut=True), {'green', 'blue'}),
    ],
)
def test_the_light_is_asked_about_as_far_as_it_was_seen(
    scene: Scene, window: Window, answers: set[str]
) -> None:
    assert {q.answer for q in asked(scene, window, 'light')} == answers


def test_things_of_the_scene_before_that_the_window_shows(scene: Scene) -> None:
    window = Window(others=(OTHER, thing('red ring', 'stands', (0.0,), (0.5,))), cut=True)
    questions = asked(scene, window)
    assert [q.answer for q in about(questions, 'cyan cross')] == ['yes']
    # Two are red now, and two are rings.
    assert about(asked(scene, WHOLE, 'shape'), 'red')
    assert not about(asked(scene, window, 'shape'), 'red')
    assert about(asked(scene, WHOLE, 'colour'), 'ring')
    assert not about(asked(scene, window, 'colour'), 'ring')
    refused = [
        q
        for at in range(10, 20)
        for q in questions_for(scene, float(at), window=window)
        if q.family == 'unanswerable'
    ]
    assert not [q for q in refused if 'cross' in q.text and not {*q.text.split()} & {*COLOURS}]


def test_a_thing_that_looks_like_one_of_the_scene_before_is_not_dated(scene: Scene) -> None:
    twin = thing('green cone', 'stands', (0.0,), (0.5,))
    for family in ('when', 'order', 'direction'):
        assert about(asked(scene, WHOLE, family), 'green cone')
        assert not about(asked(scene, Window(others=(twin,), cut=True), family), 'green cone')


def test_a_light_that_the_window_still_shows_is_not_denied(scene: Scene) -> None:
    dark = dataclasses.replace(scene, light=None)

    def refused(window: Window) -> bool:
        return any(
            'light' in q.text and q.answer == REFUSAL and 'switched' not in q.text
            for at in range(10, 20)
            for q in questions_for(dark, float(at), window=window)
        )

    assert refused(WHOLE) and refused(Window(cut=True))
    assert not refused(Window(light=True, cut=True))
    # Nor is the light of this scene dated: the one before may have turned so, too.
    assert not any(
        'light' in q.text for q in asked(scene, Window(light=True, cut=True), 'order', 'when')
    )


def test_no_window_contradicts_the_whole_past() -> None:
    """A question asked in the same words has the same answer, whatever part is left."""
    same = fewer = 0
    for seed in range(60):
        scene = make_scene(seed, seconds=24.0, fps=2.0)
        whole = {q.text: q.answer for q in questions_for(scene, 24.0)}
        for since in (4.0, 10.0, 16.0):
            part = questions_for(scene, 24.0, window=Window(since=since))
            fewer += len(part) < len(whole)
            for question in part:
                if question.text in whole:
                    assert question.answer == whole[question.text], (seed, since, question.text)
                    same += question.family != 'unanswerable'
    assert same > 300 and fewer > 90
