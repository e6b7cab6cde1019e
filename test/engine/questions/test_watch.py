# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Standing questions: what is scored, when an answer changes, and what it costs the stream."""

from __future__ import annotations

import threading

import pytest
from support.models.random_models import processor, random_clip, random_model, SHAPES
import torch

from streamvlm_ros.engine import (
    ErrorCode,
    StreamError,
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
    Watch,
    WatchEvent,
)
from streamvlm_ros.engine.questions.questions import Questions
from streamvlm_ros.engine.questions.watch import Hysteresis
from streamvlm_ros.engine.questions.watches import MAX_WATCHES

SECOND = 10**9
PATIENCE = 60.0
CHOICES = ('red', 'red box', 'a')
ASKED = [
    ('Which?', CHOICES),
    ('Is there a box?', ('yes', 'no')),
    ('Where?', ('left', 'right')),
    ('How many are there now?', ('none', 'one', 'two', 'many of them')),
]


def engine(shape='grouped', frames=8, **settings) -> VideoStreamingInference:
    """Return an engine that has seen a clip."""
    made = VideoStreamingInference(
        random_model(shape), processor(), settings=StreamSettings(**settings)
    )
    feed(made, 0, frames)
    return made


def feed(made: VideoStreamingInference, first: int, last: int) -> list[WatchEvent]:
    """Append frames one by one, score behind each, and return the events."""
    events = []
    for i, frame in enumerate(random_clip(3, max(last, 1), 56, 84)[first:last], start=first):
        made.append_frame(frame, (1 + i) * SECOND, 'eye')
        events += made.score_watches()
    return events


def settle(scores: str, threshold: float = 0.7, hold: int = 2) -> str:
    """Return the answer behind each score; ``A`` and ``B`` pass the threshold, ``a`` does not."""
    vectors = {
        'A': (0.8, 0.1, 0.1),
        'B': (0.1, 0.8, 0.1),
        'a': (0.6, 0.3, 0.1),
        'b': (0.3, 0.6, 0.1),
        '=': (0.7, 0.2, 0.1),
    }
    state = Hysteresis(Watch('w', 'Which?', ('A', 'B', 'C'), threshold, hold))
    answers = []
    for stamp, score in enumerate(scores):
        before = state.watch.choice
        changed = state.take(vectors[score], stamp)
        assert changed == (state.watch.choice != before)
        answers.append(state.watch.choice or '.')
    return ''.join(answers)


@pytest.mark.parametrize(
    'scores, answers, hold',
    [
        ('AAAA', '.AAA', 2),
        ('AAAA', 'AAAA', 1),
        ('AAAA', '...A', 4),
        ('AABABAB', '.AAAAAA', 2),  # a flicker never holds
        ('AABBAA', '.AABBA', 2),
        ('ABABAB', 'ABABAB', 1),
        ('AaAaA', '.....', 2),  # a score below the threshold starts the count afresh
        ('AAbbbb', '.AAAAA', 2),
        ('AABbBB', '.AAAAB', 2),
        ('==', '.A', 2),  # the threshold itself passes
        ('AABBaB', '.AABBB', 2),  # the answer stays while nothing else holds
    ],
)
def test_an_answer_changes_when_another_holds(scores, answers, hold):
    assert settle(scores, hold=hold) == answers


def test_a_low_threshold_takes_the_most_probable():
    assert settle('AaBb', threshold=0.2, hold=1) == 'AABB'


def test_since_is_the_first_score_of_the_answer():
    """A count that was started afresh begins anew."""
    state = Hysteresis(Watch('w', 'Which?', ('A', 'B'), 0.7, 3))
    for stamp, first in enumerate((0.9, 0.9, 0.5, 0.9, 0.9, 0.9), start=10):
        changed = state.take((first, 1 - first), stamp)
    assert changed
    assert (state.watch.since_ns, state.watch.stamp_ns) == (13, 15)
    assert state.watch.probabilities == (0.9, pytest.approx(0.1))
    state.restart()
    assert state.watch == Watch('w', 'Which?', ('A', 'B'), 0.7, 3)


@pytest.mark.parametrize('mode', ['continuous', 'append'])
@pytest.mark.parametrize('shape', SHAPES)
def test_all_in_one_pass_score_as_each_asked_alone(shape, mode):
    """The tree mask keeps every watch to the prefix and itself."""
    watching, asking = (engine(shape, frames, position_mode=mode) for frames in (0, 8))
    for question, choices in ASKED:
        watching.watch(question, choices)
    feed(watching, 0, 8)
    for watch in watching.watches():
        expected = asking.ask_choice(watch.question, watch.choices).probabilities
        assert watch.probabilities == pytest.approx(expected, abs=1e-5)
    assert len({max(watch.probabilities) for watch in watching.watches()}) == len(ASKED)


def test_watching_is_one_pass_a_chunk_and_leaves_the_stream_alone(monkeypatch):
    """Not a byte, not a position, not a pending frame; an odd frame is not seen yet."""
    passes = []
    model = type(random_model('grouped'))
    prefill = model.prefill
    monkeypatch.setattr(
        model,
        'prefill',
        lambda self, hidden, *args: (passes.append(len(hidden)), prefill(self, hidden, *args))[1],
    )
    watching, alone = engine(frames=0), engine(frames=0)
    for question, choices in ASKED:
        watching.watch(question, choices)
    feed(alone, 0, 11)
    chunks = len(passes)
    passes.clear()
    feed(watching, 0, 11)
    assert len(passes) == 2 * chunks == 4
    assert {watch.stamp_ns for watch in watching.watches()} == {8 * SECOND}
    assert watching.score_watches() == []
    assert len(passes) == 4
    assert watching.get_cache_info() == alone.get_cache_info()
    assert watching.stream.state == alone.stream.state
    for layer in range(SHAPES['grouped']['layers']):
        for one, other in zip(
            watching.stream.cache.content(layer), alone.stream.cache.content(layer)
        ):
            assert torch.equal(one, other)
    assert watching.ask('What?', 6)[0] == alone.ask('What?', 6)[0]
    # What waited was in the question's own branch: no news for the watches.
    assert watching.score_watches() == []
    assert {watch.stamp_ns for watch in watching.watches()} == {8 * SECOND}


def test_a_frame_of_another_size_closes_the_chunk_before_it():
    """What is scored then is what came before, under its own stamp."""
    watching = engine(frames=3)
    watching.watch('Which?', CHOICES)
    watching.append_frame(random_clip(1, 1, 84, 84)[0], 9 * SECOND)
    watching.score_watches()
    assert [watch.stamp_ns for watch in watching.watches()] == [3 * SECOND]


def test_events_say_what_changed_and_on_what(monkeypatch):
    """The first settled answer is an event, and so is every change."""
    watching = engine(frames=0)
    watch = watching.watch('Which?', CHOICES, hold=2)
    scores = iter([(0.9, 0.1, 0.0)] * 3 + [(0.1, 0.8, 0.1)] * 3)
    monkeypatch.setattr(Questions, 'score', lambda *_: [next(scores)])
    first, second = feed(watching, 0, 24)
    assert first == WatchEvent(
        watch.name,
        'Which?',
        CHOICES,
        'red',
        0,
        '',
        (0.9, 0.1, 0.0),
        8 * SECOND,
        'eye',
        0,
        4 * SECOND,
    )
    assert second == WatchEvent(
        watch.name,
        'Which?',
        CHOICES,
        'red box',
        1,
        'red',
        (0.1, 0.8, 0.1),
        20 * SECOND,
        'eye',
        0,
        16 * SECOND,
    )
    [now] = watching.watches()
    assert (now.choice, now.since_ns, now.stamp_ns) == ('red box', 16 * SECOND, 24 * SECOND)


@pytest.mark.parametrize(
    'begin',
    [
        lambda watching: watching.reset(),
        lambda watching: watching.append_frame(random_clip(3, 1, 56, 84)[0], 0.5),
    ],
)
def test_a_new_epoch_starts_the_watches_afresh(begin):
    """The watches stay; the first answer of the epoch has no previous one."""
    watching = engine(frames=0)
    watch = watching.watch('Which?', CHOICES, threshold=0.01, hold=2)
    assert len(feed(watching, 0, 9)) == 1
    begin(watching)
    assert watching.watches() == (watch,)
    assert watching.score_watches() == []
    [event] = feed(watching, 1, 9)
    assert (event.previous, event.epoch) == ('', 1)
    assert event.since_ns < event.stamp_ns


def test_watches_are_named_listed_and_removed():
    """Free names are found, taken ones and unknown ones refused."""
    watching = engine(frames=0)
    first = watching.watch('Which?', CHOICES)
    door = watching.watch('Is it open?', ('yes', 'no'), name='door', threshold=0.9, hold=1)
    assert (first.name, door.name) == ('watch_1', 'door')
    assert watching.watches() == (first, door)
    watching.unwatch('watch_1')
    assert watching.watch('Where?', ('here', 'there')).name == 'watch_1'
    with pytest.raises(StreamError, match='already'):
        watching.watch('Which?', CHOICES, name='door')
    with pytest.raises(StreamError, match='there are: door, watch_1'):
        watching.unwatch('window')
    assert len(watching.watches()) == 2
    feed(watching, 0, 4)
    assert all(watch.probabilities for watch in watching.watches())


@pytest.mark.parametrize(
    'question, choices, how, sentence',
    [
        ('', CHOICES, {}, 'empty'),
        ('Which?', ('a',), {}, 'at least two'),
        ('Which?', CHOICES, dict(threshold=0.0), 'threshold'),
        ('Which?', CHOICES, dict(threshold=1.1), 'threshold'),
        ('Which?', CHOICES, dict(threshold=float('nan')), 'threshold'),
        ('Which?', CHOICES, dict(hold=0), 'hold'),
    ],
)
def test_what_cannot_be_watched_is_refused(question, choices, how, sentence):
    watching = engine(frames=0)
    with pytest.raises(StreamError, match=sentence) as caught:
        watching.watch(question, choices, **how)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert watching.watches() == ()


def test_there_is_a_bound_to_watches():
    """As each costs something after every chunk."""
    watching = engine(frames=0, max_watch_tokens=16384)
    for _ in range(MAX_WATCHES):
        watching.watch('Which?', CHOICES)
    with pytest.raises(StreamError, match='remove one'):
        watching.watch('Which?', CHOICES)


def test_a_worker_scores_behind_every_chunk_and_tells():
    """Events come from the worker's thread; a listener that fails is said, and not the end."""
    events: list[WatchEvent] = []
    threads = set()

    def listen(event: WatchEvent) -> None:
        threads.add(threading.current_thread().name)
        events.append(event)
        raise RuntimeError('the listener is gone')

    worker = StreamWorker(engine(frames=0, sample_rate=0.0), on_watch_event=listen)
    worker.start()
    watch = worker.watch('Which?', CHOICES, threshold=0.01, hold=3).result(PATIENCE)
    with pytest.raises(StreamError, match='hold'):
        worker.watch('Which?', CHOICES, hold=0).result(PATIENCE)
    for i, frame in enumerate(random_clip(3, 16, 56, 84)):
        worker.submit_frame(frame, (1 + i) * SECOND, 'eye')
    worker.ask('What?', max_new_tokens=1, after_ns=16 * SECOND).result(PATIENCE)
    [now] = worker.watches().result(PATIENCE)
    assert (now.name, now.stamp_ns) == (watch.name, 16 * SECOND)
    alone = engine(frames=0)
    alone.watch('Which?', CHOICES, threshold=0.01, hold=3)
    assert events == feed(alone, 0, 16) != []
    assert threads == {'streamvlm-worker'}
    assert 'the listener is gone' in worker.status().last_error
    assert worker.status().frames_ingested == 16
    worker.unwatch(watch.name).result(PATIENCE)
    assert worker.watches().result(PATIENCE) == ()
    worker.stop()
    with pytest.raises(StreamError) as caught:
        worker.watches().result(PATIENCE)
    assert caught.value.code is ErrorCode.NOT_ACTIVE
