# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is: what goes first, and for how long at most the other waits."""

from __future__ import annotations

import itertools

import pytest
from random_models import processor, random_clip, random_model

from streamvlm_ros.engine import (
    ErrorCode,
    StreamError,
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
)
from streamvlm_ros.engine.policy import Policy, Turn, Turns
from streamvlm_ros.engine.questions import Questions

SECOND = 10**9
PATIENCE = 60.0
LETTER = {Turn.FRAMES: 'f', Turn.ANSWERS: 'a', None: '.'}
# Frame turns between answer turns at most, and the other way round, while both wait.
BOUNDS = {'frames_first': (4, 1), 'answers_first': (1, 32)}


class Clock:
    """Says that a turn takes so long; and is so many turns behind, as a GPU's may be."""

    def __init__(self, frame_time: float = 1.0, answer_time: float = 1.0, behind: int = 0) -> None:
        self.times = {Turn.FRAMES: frame_time, Turn.ANSWERS: answer_time}
        self.behind = behind
        self.running = []

    def begin(self):
        pass

    def end(self, turn):
        self.running.append(turn)

    def finished(self):
        while len(self.running) > self.behind:
            turn = self.running.pop(0)
            yield turn, self.times[turn]

    def forget(self):
        self.running.clear()


def with_policy(policy: Policy, **clock) -> Turns:
    return Turns(policy, Clock(**clock))


def deal(turns: Turns, waiting: str) -> str:
    """Return the turns dealt while there wait ``f``rames, ``a``nswers, ``b``oth or none."""
    dealt = []
    for who in waiting:
        turn = turns.next(who in 'fb', who in 'ab')
        dealt.append(LETTER[turn])
        if turn is not None:
            with turns.timed(turn):
                pass
    return ''.join(dealt)


@pytest.mark.parametrize('policy', Policy)
def test_whoever_waits_alone_goes_at_once(policy):
    assert deal(with_policy(policy), 'fffffffff' + 'a' * 40 + '.') == 'f' * 9 + 'a' * 40 + '.'


@pytest.mark.parametrize('policy, dealt', [
    (Policy.FRAMES_FIRST, 'ffffa' * 8), (Policy.ANSWERS_FIRST, ('a' * 32 + 'f') * 2)])
def test_what_goes_first_lets_the_other_through(policy, dealt):
    assert deal(with_policy(policy), 'b' * len(dealt)) == dealt


def test_the_count_begins_when_both_wait():
    """Frames alone do not use up what they may have in a row; a gap starts it afresh."""
    assert deal(with_policy(Policy.FRAMES_FIRST), 'ffffffbbbbb') == 'ffffffffffa'
    assert deal(with_policy(Policy.FRAMES_FIRST), 'bbbabbbbb') == 'fffaffffa'


@pytest.mark.parametrize('behind', [0, 1, 3])
@pytest.mark.parametrize('frame_time, answer_time', [(1, 1), (8, 1), (1, 8), (0.3, 0.7)])
def test_balanced_shares_the_time(frame_time, answer_time, behind):
    """Neither is ever behind by more than the longest turn, and those that still run."""
    dealt = deal(with_policy(Policy.BALANCED, frame_time=frame_time, answer_time=answer_time,
                             behind=behind), 'b' * 200)
    ahead = 0.0
    for letter in dealt:
        ahead += frame_time if letter == 'f' else -answer_time
        assert abs(ahead) <= (1 + behind) * max(frame_time, answer_time) + 1e-9
    assert set(dealt) == {'f', 'a'}


def test_balanced_counts_from_when_both_wait():
    """What frames had before is not held against them, not even what still runs."""
    turns = with_policy(Policy.BALANCED, frame_time=8.0, behind=1)
    assert deal(turns, 'ffff') == 'ffff'
    assert deal(turns, 'b') == 'f'
    assert deal(turns, 'bbbb') == 'faaa'
    assert deal(turns, 'ab') == 'af'


def test_a_policy_can_be_changed_at_any_time():
    turns = with_policy(Policy.ANSWERS_FIRST)
    assert deal(turns, 'b' * 20) == 'a' * 20
    turns.policy = Policy.FRAMES_FIRST
    assert deal(turns, 'b' * 11) == 'affffaffffa'


def test_an_unknown_policy_is_refused():
    model = VideoStreamingInference(random_model('grouped'), processor())
    with pytest.raises(StreamError, match='choose one of frames_first, answers_first, balanced'):
        StreamWorker(model, policy='fastest')
    worker = StreamWorker(model)
    with pytest.raises(StreamError) as caught:
        worker.set_policy('')
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def run_loaded(policy: str, monkeypatch, change_to: str = '') -> tuple[str, int]:
    """Return the turns of a worker with 24 chunks and 6 long answers waiting before it starts.

    Each chunk and each pass of decoding is a letter; also returned is how many answers came.
    """
    engine = VideoStreamingInference(
        random_model('grouped'), processor(),
        settings=StreamSettings(sample_rate=0.0, chunk_frames=2))
    worker = StreamWorker(engine, queue_frames=100, policy=policy)
    if change_to:
        worker.set_policy(change_to)
    trace = []
    decode, append = Questions.decode, VideoStreamingInference.append_frame

    def spy_decode(self, opened):
        trace.append('a')
        return decode(self, opened)

    def spy_append(self, *args):
        if len(trace) == 0 or self.get_cache_info().pending_frames:
            trace.append('f')
        return append(self, *args)

    monkeypatch.setattr(Questions, 'decode', spy_decode)
    monkeypatch.setattr(VideoStreamingInference, 'append_frame', spy_append)
    for i, frame in enumerate(random_clip(1, 48, 56, 56)):
        worker.submit_frame(frame, (i + 1) * SECOND)
    futures = [worker.ask(f'Number {i}?', max_new_tokens=40, after_ns=SECOND) for i in range(6)]
    worker.start()
    answers = [future.result(PATIENCE) for future in futures]
    worker.ask('All?', max_new_tokens=1, after_ns=48 * SECOND).result(PATIENCE)
    assert worker.status().frames_ingested == 48
    worker.stop()
    return ''.join(trace), len(answers)


def longest_run(trace: str, letter: str) -> int:
    """Return the longest run of a letter that another one ends."""
    inner = trace.rstrip(letter)
    return max((len(list(run)) for kind, run in itertools.groupby(inner) if kind == letter),
               default=0)


@pytest.mark.parametrize('policy', BOUNDS)
@pytest.mark.parametrize('changed', [False, True])
def test_neither_starves_under_load(policy, changed, monkeypatch):
    """With more waiting than can be done, both go on within the policy's bounds."""
    before = 'balanced' if changed else policy
    trace, answers = run_loaded(before, monkeypatch, policy if changed else '')
    assert answers == 6
    frames, steps = BOUNDS[policy]
    both = trace[trace.index('a'):]
    assert both.count('f') > 5
    assert longest_run(both[:both.rindex('a')], 'f') <= frames
    while_frames_wait = both[:both.rindex('f') + 1]
    assert longest_run(while_frames_wait, 'a') <= steps
    if policy == 'frames_first':
        assert 'ffffaffffa' in both
    else:
        assert 'a' * 32 + 'f' in both


def test_balanced_does_both_under_load(monkeypatch):
    trace, answers = run_loaded('balanced', monkeypatch)
    assert answers == 6
    assert trace.count('f') >= 24 and trace.count('a') >= 40
    assert trace.index('a') < trace.rindex('f')
