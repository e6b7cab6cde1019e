# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is asked in the simulated day has one answer in what the memory shows."""

from __future__ import annotations

from typing import Any

import pytest

from benchmark.common.harness import load_model, make_engine, parser
from benchmark.memory.day import Day, Stream
from benchmark.memory.day_scenes import FAMILIES, fits, pick, SCENE_S, Scenes
from streamvlm_ros.scenes.questions import Question, questions_for
from streamvlm_ros.scenes.scene import make_scene, Scene
from streamvlm_ros.scenes.things import Thing


def thing(name: str) -> Thing:
    colour, shape = name.split()
    return Thing(colour, shape, 'stands', (0.0,), (0.5,), 0.5, 0.08, 0.1)


def question(family: str, text: str) -> Question:
    return Question(family, text, ('a', 'b'), 'a')


@pytest.mark.parametrize(
    ('family', 'text', 'other', 'is_ambiguous'),
    [
        ('shape', 'What shape is the cyan object?', 'cyan ring', True),
        ('shape', 'What shape is the cyan object?', 'blue ring', False),
        ('colour', 'The ring: what colour is it?', 'cyan ring', True),
        ('colour', 'The ring: what colour is it?', 'cyan box', False),
        ('when', 'When did the cyan ring come in?', 'cyan ring', True),
        ('when', 'When did the cyan ring come in?', 'cyan box', False),
        ('direction', 'Did the cyan ring move left or right?', 'cyan ring', True),
        ('when', 'When did the light turn red?', 'red ring', False),
        # Where it is now is not where one was before the cut.
        ('where', 'Where is the cyan ring now?', 'cyan ring', False),
    ],
)
def test_a_question_is_ambiguous_where_it_fits_another_thing(
    family: str, text: str, other: str, is_ambiguous: bool
) -> None:
    assert fits(question(family, text), thing(other)) is is_ambiguous


def test_another_question_is_picked_where_one_is_ambiguous() -> None:
    changed = 0
    for seed in range(20):
        scene = make_scene(seed, seconds=SCENE_S)
        first = pick(scene, seed)
        assert first in questions_for(scene, SCENE_S - 0.25) and first.family in FAMILIES
        for other in scene.things:
            picked = pick(scene, seed, [other])
            assert picked is None or not fits(picked, other)
            assert (picked == first) is not fits(first, other)
            changed += picked != first
    assert changed > 5


def test_what_is_kept_of_the_scene_before_is_its_last_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = parser('').parse_args([])
    engine = make_engine(
        load_model(arguments), capacity=4096, sample_rate=0.0, memory_seconds=SCENE_S
    )
    day = Scenes(engine, 2.0, (112, 84))
    scenes: list[tuple[Scene, list[Thing]]] = []

    def noting(scene: Scene, number: int, others: list[Thing] | None = None) -> None:
        scenes.append((scene, others or []))

    monkeypatch.setattr('benchmark.memory.day_scenes.pick', noting)
    for number in range(4):
        day.show(number, engine.append_frame)
    shown = [others for _, others in scenes if others]
    before = make_scene(day._before[0].seed - 1, seconds=SCENE_S, fps=2.0, size=(112, 84))
    last = [t for t in before.things if before.visible_part(t, before.times[-1]) > 0.0]
    assert {*last} <= {*shown[-1]} <= {*before.things}
    assert day.asked == 0


def test_hours_beside_a_young_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('benchmark.memory.day.SCENES', 4)
    monkeypatch.setattr('benchmark.memory.day.BESIDE', 1)
    model = load_model(parser('').parse_args([]))
    old, young = (
        make_engine(model, capacity=4096, sample_rate=0.0, memory_seconds=SCENE_S)
        for _ in range(2)
    )
    day = Day(old, young, 2.0, (112, 84))
    ask, forget = Scenes._ask, Stream.forget_times
    before: list[int] = []

    def asking(scenes: Scenes, number: int, asked: Question) -> dict[str, Any]:
        """Answer wrongly for an hour, and then rightly."""
        return ask(scenes, number, asked) | {'answer': asked.answer if number >= 4 else 'no'}

    def forgetting(stream: Stream) -> None:
        if stream is day._young:
            before.append(len(day._old.chunk_ms))
        forget(stream)

    monkeypatch.setattr(Scenes, '_ask', asking)
    monkeypatch.setattr(Stream, 'forget_times', forgetting)
    rows, begun = [], [young.epoch]
    for hour in range(2):
        rows.append(day.run_hour(hour))
        begun.append(young.epoch)
        compared = day._old.chunk_ms[before[-1] :]
        # Only the last of the hour's four scenes is compared.
        assert 0 < len(compared) == len(day._young.chunk_ms) < before[-1] / 2
        assert rows[-1]['beside_young'] > 0.0
    assert begun[0] < begun[1] < begun[2] and old.epoch == begun[0]
    assert [row['hour'] for row in rows] == [1, 2]
    assert [row['frames'] for row in rows] == [240, 480]
    assert 0 < rows[0]['evicted_tokens'] < rows[1]['evicted_tokens']
    assert min(row['questions'] for row in rows) > 0
    assert sum(row['questions'] for row in rows) == day.scenes.asked
    assert [row['right'] for row in rows] == [0, rows[1]['questions']]
