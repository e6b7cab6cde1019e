# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is: what goes first, and for how long at most the other waits."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from support.models.random_models import processor, random_clip, random_model
import torch

from streamvlm_ros.engine import (
    ErrorCode,
    open_streams,
    StreamError,
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
)
from streamvlm_ros.engine.questions.questions import Questions
from streamvlm_ros.engine.serving.scheduler import HostClock, Policy, Scheduler, Turn
from streamvlm_ros.engine.stream.stream import FrameStream

SECOND = 10**9
PATIENCE = 60.0
LETTER = {Turn.FRAMES: 'f', Turn.ANSWERS: 'a', None: '.'}
# Frame turns between answer turns at most, and the other way round, while both wait.
BOUNDS = {'frames_first': (4, 1), 'answers_first': (1, 32)}


class Clock:
    """A device: frames' turns and answers' take so long there, and it may be behind the host.

    Attributes:
        behind: how many turns of a kind may be under way when the host goes on.

    """

    def __init__(
        self, frame_time: float = 1.0, answer_time: float = 1.0, behind: tuple[int, int] = (0, 0)
    ) -> None:
        self.times = {Turn.FRAMES: frame_time, Turn.ANSWERS: answer_time}
        self.behind = dict(zip(self.times, behind))
        self.running = []

    def begin(self) -> None:
        pass

    def end(self, turn: Any) -> None:
        self.running.append(turn)

    def finished(self):
        # One behind the other: what is done ends with the last turn that the host waited for.
        while any(self.running.count(turn) > most for turn, most in self.behind.items()):
            turn = self.running.pop(0)
            yield turn, self.times[turn]

    def forget(self) -> None:
        self.running.clear()


def with_policy(policy: Policy, **clock: Any) -> Scheduler:
    return Scheduler(policy, Clock(**clock))


def deal(turns: Scheduler, waiting: str) -> str:
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
def test_whoever_waits_alone_goes_at_once(policy: Any) -> None:
    assert deal(with_policy(policy), 'fffffffff' + 'a' * 40 + '.') == 'f' * 9 + 'a' * 40 + '.'


@pytest.mark.parametrize(
    'policy, dealt',
    [(Policy.FRAMES_FIRST, 'ffffa' * 8), (Policy.ANSWERS_FIRST, ('a' * 32 + 'f') * 2)],
)
def test_what_goes_first_lets_the_other_through(policy: Any, dealt: str) -> None:
    assert deal(with_policy(policy), 'b' * len(dealt)) == dealt


def test_the_count_begins_when_both_wait() -> None:
    """Frames alone do not use up what they may have in a row; a gap starts it afresh."""
    assert deal(with_policy(Policy.FRAMES_FIRST), 'ffffffbbbbb') == 'ffffffffffa'
    assert deal(with_policy(Policy.FRAMES_FIRST), 'bbbabbbbb') == 'fffaffffa'


@pytest.mark.parametrize('behind', [(0, 0), (2, 1), (3, 0), (1, 9)])
@pytest.mark.parametrize('frame_time, answer_time', [(1, 1), (8, 1), (1, 8), (0.3, 0.7), (21, 5)])
def test_balanced_shares_the_time(
    frame_time: float, answer_time: float, behind: tuple[int, ...]
) -> None:
    """Neither is ever behind by more than the longest turn, though some still run."""
    turns = with_policy(
        Policy.BALANCED, frame_time=frame_time, answer_time=answer_time, behind=behind
    )
    # What turns take is known from when they had no rival.
    assert deal(turns, 'f' * 5 + 'a' * 12) == 'f' * 5 + 'a' * 12
    dealt = deal(turns, 'b' * 200)
    ahead = 0.0
    for letter in dealt:
        ahead += frame_time if letter == 'f' else -answer_time
        assert abs(ahead) <= max(frame_time, answer_time) + 1e-9
    assert set(dealt) == {'f', 'a'}


def test_balanced_counts_from_when_both_wait() -> None:
    """What frames had before is not held against them, not even what still runs."""
    turns = with_policy(Policy.BALANCED, frame_time=8.0, behind=(1, 1))
    assert deal(turns, 'ffffa') == 'ffffa'
    assert deal(turns, 'b' * 10) == 'faaaaaaaaf'
    assert deal(turns, 'abb') == 'afa'


def test_a_policy_can_be_changed_at_any_time() -> None:
    turns = with_policy(Policy.ANSWERS_FIRST)
    assert deal(turns, 'b' * 20) == 'a' * 20
    turns.policy = Policy.FRAMES_FIRST
    assert deal(turns, 'b' * 11) == 'affffaffffa'


def test_an_unknown_policy_is_refused() -> None:
    model = VideoStreamingInference(random_model('grouped'), processor())
    with pytest.raises(StreamError, match='choose one of frames_first, answers_first, balanced'):
        StreamWorker(model, policy='fastest')
    worker = StreamWorker(model)
    with pytest.raises(StreamError) as caught:
        worker.set_policy('')
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def run_loaded(
    policy: str, monkeypatch: pytest.MonkeyPatch, change_to: str = ''
) -> tuple[str, int]:
    """Return the turns of a worker with 24 chunks and 6 long answers waiting before it starts.

    Each chunk and each pass of decoding is a letter; also returned is how many answers came.
    """
    engine = VideoStreamingInference(
        random_model('grouped'),
        processor(),
        settings=StreamSettings(sample_rate=0.0, chunk_frames=2),
    )
    worker = StreamWorker(engine, queue_frames=100, policy=policy)
    if change_to:
        worker.set_policy(change_to)
    trace = []
    decode, append = Questions.decode, FrameStream.append

    def spy_decode(self: Any, opened: Any) -> Any:
        trace.append('a')
        return decode(self, opened)

    def spy_append(self: Any, *args: Any, **options: Any) -> Any:
        if len(trace) == 0 or self.pending:
            trace.append('f')
        return append(self, *args, **options)

    monkeypatch.setattr(Questions, 'decode', spy_decode)
    monkeypatch.setattr(FrameStream, 'append', spy_append)
    for i, frame in enumerate(random_clip(1, 48, 56, 56)):
        worker.submit_frame(frame, (i + 1) * SECOND)
    futures = [worker.ask(f'Number {i}?', max_new_tokens=40, after_ns=SECOND) for i in range(6)]
    worker.start()
    answers = [future.result(PATIENCE) for future in futures]
    worker.ask('All?', max_new_tokens=1, after_ns=48 * SECOND).result(PATIENCE)
    assert worker.status().frames_ingested == 48
    worker.stop()
    return ''.join(trace), len(answers)


def test_the_threads_clock_is_that_of_the_models_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is chosen with the first stream, and times every turn."""
    made, begun, ended = [], [], []

    class Watched(HostClock):
        def begin(self) -> None:
            begun.append(self)
            super().begin()

        def end(self, turn: Any) -> None:
            ended.append(turn)
            super().end(turn)

    def clock_for(devices: Any) -> Any:
        made.append(devices)
        return Watched()

    monkeypatch.setattr('streamvlm_ros.engine.serving.engine_loop.clock_for', clock_for)
    first, second = open_streams(
        random_model('grouped'), processor(), [StreamSettings(sample_rate=0.0, chunk_frames=2)] * 2
    )
    worker = StreamWorker(first, policy='balanced')
    StreamWorker(second, beside=worker)
    for i, frame in enumerate(random_clip(1, 4, 56, 56)):
        worker.submit_frame(frame, (i + 1) * SECOND)
    worker.start()
    worker.ask('What?', max_new_tokens=3, after_ns=4 * SECOND).result(PATIENCE)
    assert worker.stop()
    assert made == [{torch.device('cpu')}]
    # Prefilling gives the first token.
    assert ended.count(Turn.FRAMES) == ended.count(Turn.ANSWERS) == 2
    assert len(begun) == len(ended)


def longest_run(trace: str, letter: str) -> int:
    """Return the longest run of a letter that another one ends."""
    inner = trace.rstrip(letter)
    return max(
        (len(list(run)) for kind, run in itertools.groupby(inner) if kind == letter), default=0
    )


@pytest.mark.parametrize('policy', BOUNDS)
@pytest.mark.parametrize('changed', [False, True])
def test_neither_starves_under_load(
    policy: str, changed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more waiting than can be done, both go on within the policy's bounds."""
    before = 'balanced' if changed else policy
    trace, answers = run_loaded(before, monkeypatch, policy if changed else '')
    assert answers == 6
    frames, steps = BOUNDS[policy]
    both = trace[trace.index('a') :]
    assert both.count('f') > 5
    assert longest_run(both[: both.rindex('a')], 'f') <= frames
    while_frames_wait = both[: both.rindex('f') + 1]
    assert longest_run(while_frames_wait, 'a') <= steps
    if policy == 'frames_first':
        assert 'ffffaffffa' in both
    else:
        assert 'a' * 32 + 'f' in both


def test_balanced_does_both_under_load(monkeypatch: pytest.MonkeyPatch) -> None:
    trace, answers = run_loaded('balanced', monkeypatch)
    assert answers == 6
    assert trace.count('f') >= 24 and trace.count('a') >= 40
    assert trace.index('a') < trace.rindex('f')
