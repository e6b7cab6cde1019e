# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A stream about which questions are asked equals its twin without any, to the last bit."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.models.random_models import random_clip, SHAPES
from support.streams import everything, stream
from support.whole import sampled

from streamvlm_ros.engine import StreamError
from streamvlm_ros.engine.errors import StillReadError

CHOICES = ('yes', 'no', 'left of the door')
SIZES = ((56, 56), (56, 84))


def frames_of(seed: int, number: int) -> list:
    """Return a random clip with changes of size, still moments and gaps: images and seconds."""
    rng, second, clip = random.Random(seed), 0.0, []
    size, shown = SIZES[0], None
    for i in range(number):
        if rng.random() < 0.05:
            size, shown = rng.choice(SIZES), None
        if shown is None or rng.random() < 0.7:
            shown = random_clip(1000 * seed + i, 1, *size)[0]
        second = round(second + rng.choice((0.125, 0.5, 0.5, 1.0, 8.0)), 3)
        clip.append((shown, second))
    return clip


class Asker:
    """Asks at random, and keeps some answers open while frames come."""

    def __init__(self, engine: Any, seed: int) -> None:
        """Ask about an engine."""
        self.engine, self.rng = engine, random.Random(seed)
        self.open: list = []
        self.asked = self.waited = 0

    def append(self, image: Any, second: float) -> None:
        """Append a frame; where open answers keep it out, end the oldest and try again."""
        while True:
            try:
                return self.engine.append_frame(image, second)
            except StillReadError:
                self.waited += 1
                self.engine.questions.abandon(self.open.pop(0))

    def ask(self) -> None:
        """Do something with a question, or nothing."""
        action, engine = self.rng.random(), self.engine
        questions = engine.questions
        try:
            if action < 0.15:
                engine.ask('What happened?', self.rng.randint(1, 3))
            elif action < 0.3:
                engine.ask_choice('Which?', CHOICES)
            elif action < 0.5 and len(self.open) < 3:
                self.open.append(questions.begin('What is there? ' * self.rng.randint(1, 60), 9))
            elif action < 0.7:
                for each in self.open:
                    questions.advance(each)
                questions.decode(self.open)
            elif action < 0.75 and self.open:
                questions.close(self.open.pop(0))
            else:
                engine.score_watches()
        except StillReadError:
            return
        self.asked += 1


def run_pair(seed: int, number: int, **settings: Any) -> Asker:
    """Show two streams the same frames, ask about one, and compare them at every turn."""
    shape = list(SHAPES)[seed % 3]
    quiet, engine = stream(shape, **settings), stream(shape, **settings)
    engine.watch('Is it?', CHOICES[:2])
    asker = Asker(engine, seed)
    for image, second in frames_of(seed, number):
        quiet.append_frame(image, second)
        asker.append(image, second)
        asker.ask()
        if not engine.stream.cache.readers:
            engine.stream.catch_up()
        if not engine.stream.rebasing.put_off:
            assert everything(engine) == everything(quiet)
    for each in asker.open:
        engine.questions.abandon(each)
    return asker


@pytest.mark.parametrize('seed', sampled(range(12), 6))
def test_a_stream_that_is_asked_equals_its_twin(seed: int) -> None:
    """Both modes, full caches, open answers that hold what goes, re-basing, still frames."""
    rng = random.Random(seed)
    asker = run_pair(
        seed,
        90,
        chunk_frames=rng.choice((2, 4, 6)),
        capacity=rng.choice((120, 160, 300)),
        position_mode=('continuous', 'append')[seed % 2],
        memory_seconds=rng.choice((0, 20.0)),
        skip_static=rng.choice((0.0, 4.0)),
        rebase_position=rng.choice((0, 110, 400)),
    )
    assert asker.asked > 30


def test_frames_wait_for_readers_and_nothing_else() -> None:
    """Where an answer holds the very slots that come next, the frame waits; then all is alike."""
    asker = run_pair(3, 200, chunk_frames=2, capacity=110)
    assert asker.waited


def test_a_question_that_counts_positions_anew_does_not_exist() -> None:
    """Chunks do it, when the limit is passed; a question between them changes nothing."""
    engine = stream(capacity=400, rebase_position=240, chunk_frames=2)
    rebased = beyond = 0
    for image, second in frames_of(5, 120):
        engine.append_frame(image, second)
        before = everything(engine)
        engine.ask('What happened?', 1)
        engine.ask_choice('Which?', CHOICES)
        assert everything(engine) == before
        beyond += engine.stream.state.last_cache_position > 240
        rebased = engine.stream.cache.rebased
    assert rebased > 2 and beyond, 'A question has come right when the limit was passed.'


def test_answers_see_the_frames_that_wait() -> None:
    """Every waiting frame counts, whole pairs and an odd one; asked twice, the answer is one."""
    told = []
    for last in range(8):
        engine = stream(chunk_frames=8)
        for i, image in enumerate(random_clip(1, 8 + last, 56, 56)):
            engine.append_frame(image, float(i))
        assert engine.get_cache_info().pending_frames == last
        one, other = (engine.ask_choice('Which?', CHOICES).probabilities for _ in range(2))
        assert one == other
        told.append(one)
    assert len(set(told)) == len(told)


def test_a_kept_turn_takes_the_waiting_frames_along() -> None:
    """What the branch began with is in the stream afterwards, and nothing waits any more."""
    engine = stream(chunk_frames=8)
    for i, image in enumerate(random_clip(1, 13, 56, 56)):
        engine.append_frame(image, float(i))
    engine.ask('What?', 2, update_state=True)
    info = engine.get_cache_info()
    assert (info.pending_frames, info.frames) == (0, 13)
    engine.append_frame(random_clip(2, 1, 56, 56)[0], 20.0)
    assert engine.ask('What?', 2)[0] is not None


def test_a_stream_that_cannot_hold_a_turn_refuses_it_before_it_is_answered() -> None:
    """The bytes stay, the frames still wait."""
    engine = stream(chunk_frames=8, capacity=120)
    for i, image in enumerate(random_clip(1, 3, 56, 56)):
        engine.append_frame(image, float(i))
    before = everything(engine)
    with pytest.raises(StreamError):
        engine.ask('What? ' * 20, 60, update_state=True)
    assert everything(engine) == before


@pytest.mark.parametrize('seed', [1, 2, 10])
def test_time_that_passes_without_a_chunk_counts_after_what_was_put_off(seed: int) -> None:
    """Still frames while an answer keeps positions from being counted anew: they wait for it."""
    rng = random.Random(seed)
    settings: dict[str, Any] = {
        'chunk_frames': rng.choice((2, 4)),
        'capacity': rng.choice((160, 300)),
        'rebase_position': rng.choice((60, 110)),
        'skip_static': 4.0,
    }
    quiet, engine = stream(**settings), stream(**settings)
    asker, second, shown, put_off = Asker(engine, seed), 0.0, None, 0
    for i in range(120):
        if shown is None or rng.random() < 0.4:
            shown = random_clip(1000 * seed + i, 1, 56, 56)[0]
        second += rng.choice((0.5, 0.5, 1.0, 8.0, 30.0))
        quiet.append_frame(shown, second)
        if i and not asker.open and rng.random() < 0.5 and not engine.questions.must_wait:
            asker.open.append(engine.questions.open('What?', 50))
        asker.append(shown, second)
        put_off += engine.stream.rebasing.put_off
        if asker.open and rng.random() < 0.15:
            engine.questions.abandon(asker.open.pop())
        if not engine.stream.cache.readers:
            engine.stream.catch_up()
        if not engine.stream.rebasing.put_off:
            assert everything(engine) == everything(quiet)
    assert put_off


def test_a_turn_is_kept_where_another_answer_reads_what_goes_for_it() -> None:
    """It waits until that one has ended, and the stream is then that of its twin."""
    quiet, engine = stream(chunk_frames=2, capacity=110), stream(chunk_frames=2, capacity=110)
    for i, image in enumerate(random_clip(1, 21, 56, 56)):
        quiet.append_frame(image, float(i))
        engine.append_frame(image, float(i))
    expected, _ = quiet.ask('Keep this?', 2, update_state=True)
    other = engine.questions.open('What?', 100)
    kept = engine.questions.open('Keep this?', 2, True)
    while not kept.ended:
        engine.questions.decode([kept])
    for _ in range(2):
        with pytest.raises(StillReadError):
            engine.questions.close(kept)
        assert engine.questions.must_wait
    engine.questions.abandon(other)
    assert engine.questions.close(kept).text == expected
    assert everything(engine) == everything(quiet) and not engine.questions.must_wait
    assert not engine.stream.cache.readers


def test_a_turn_that_waits_for_room_is_not_kept_in_another_stream() -> None:
    """A reset in between ends it."""
    engine = stream(chunk_frames=2, capacity=110)
    for i, image in enumerate(random_clip(1, 21, 56, 56)):
        engine.append_frame(image, float(i))
    other = engine.questions.open('What?', 100)
    kept = engine.questions.open('Keep this?', 1, True)
    with pytest.raises(StillReadError):
        engine.questions.close(kept)
    engine.reset()
    before = everything(engine)
    with pytest.raises(StreamError, match='reset'):
        engine.questions.close(kept)
    engine.questions.abandon(other)
    assert everything(engine) == before
