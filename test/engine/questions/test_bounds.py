# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every text has a bound that is known before work is done with it."""

from __future__ import annotations

from typing import Any

import pytest
from support.models.random_models import processor, random_clip, random_model
from support.streams import stream

from streamvlm_ros.engine import (
    ErrorCode,
    StreamError,
    StreamSettings,
    StreamWorker,
    VideoStreamingInference,
)
from streamvlm_ros.engine.models.processor import StreamProcessor
from streamvlm_ros.engine.models.prompt import tree_tokens
from streamvlm_ros.engine.runner.model_runner import ModelRunner

MEGABYTE = 'What happened? ' * (1_000_000 // 15)


class CountingTokenizer:
    """A tokenizer that says how much text it was given."""

    def __init__(self) -> None:
        """Count from nothing."""
        self._inner = processor().tokenizer
        self.characters = 0

    def encode(self, text: str, **kwargs: Any):
        """Encode, and count."""
        self.characters += len(text)
        return self._inner.encode(text, **kwargs)

    def __getattr__(self, name: str):
        """Be the tokenizer in everything else."""
        return getattr(self._inner, name)


def shown(**settings: Any) -> tuple[VideoStreamingInference, CountingTokenizer]:
    """Return an engine that has seen something, and the tokenizer that it uses."""
    tokenizer, own = CountingTokenizer(), processor()
    engine = VideoStreamingInference(
        random_model('grouped'),
        StreamProcessor(tokenizer, own.chat_template, own.pixels),
        settings=StreamSettings(**settings),
    )
    for i, frame in enumerate(random_clip(1, 4, 56, 56)):
        engine.append_frame(frame, float(i))
    tokenizer.characters = 0
    return engine, tokenizer


ASK = {
    'question': lambda engine, text: engine.ask(text, 1),
    'choice question': lambda engine, text: engine.ask_choice(text, ('a', 'b')),
    'choice': lambda engine, text: engine.ask_choice('Which?', ('a', text)),
    'choices': lambda engine, text: engine.ask_choice(
        'Which?', [f'{i}{text[: len(text) // 26]}' for i in range(26)]
    ),
    'watch': lambda engine, text: engine.watch(text, ('a', 'b')),
    'choice of a watch': lambda engine, text: engine.watch('Is it?', ('a', text)),
}


@pytest.mark.parametrize('what', ASK)
def test_a_megabyte_is_refused_before_it_is_tokenised(what: str) -> None:
    """By its length alone; the sentence names the bound and the value, and nothing has changed."""
    engine, tokenizer = shown()
    with pytest.raises(StreamError, match=r'characters; give at most 32,768') as caught:
        ASK[what](engine, MEGABYTE)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert not tokenizer.characters and not engine.stream.cache.readers and not engine.watches()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize('what', ASK)
@pytest.mark.parametrize('bound', [64, 200])
def test_the_bound_is_in_tokens(what: str, bound: int) -> None:
    """A byte tokenizer: a text as long as it fits is taken, the next longer one is not."""
    taken, refused = [], []
    for length in range(1, 3 * bound, 7):
        engine, _ = shown(max_question_tokens=bound, max_watch_tokens=10_000)
        try:
            ASK[what](engine, 'x' * max(length, 26))
            taken.append(length)
        except StreamError as error:
            assert error.code is ErrorCode.INVALID_REQUEST and 'tokens' in str(error)
            assert f'{bound:,}' in str(error)
            refused.append(length)
    assert refused and all(a < b for a in taken for b in refused)


def test_a_list_of_a_million_choices_is_counted_first() -> None:
    """Not one of them is looked at."""

    class Endless(list):
        def __iter__(self):
            raise AssertionError('Nobody should look at them.')

        def __len__(self) -> int:
            return 10**6

    engine, _ = shown()
    with pytest.raises(StreamError, match='at most 26'):
        engine.ask_choice('Which?', Endless())


def test_all_watches_together_have_a_bound() -> None:
    """What a watch costs is told with it; one that is too much is refused with both numbers."""
    engine, _ = shown(max_watch_tokens=300)
    first = engine.watch('Is the door open?', ('yes', 'no'), name='a')
    asked = engine.standing._asked['a']
    assert first.tokens == tree_tokens(*asked) == engine.standing.tokens > 40
    second = engine.watch('Is the door open?', ('yes', 'no'), name='b')
    assert engine.standing.tokens == first.tokens + second.tokens
    with pytest.raises(StreamError, match='all together may have at most 300'):
        for i in range(10):
            engine.watch('Is the door open?', ('yes', 'no'), name=f'c{i}')
    assert engine.standing.tokens <= 300
    engine.unwatch('a')
    assert engine.watch('Is the door open?', ('yes', 'no')).tokens == first.tokens


def test_a_name_of_a_watch_has_a_bound() -> None:
    """It is in every event and every list."""
    engine, _ = shown()
    with pytest.raises(StreamError, match='at most 255'):
        engine.watch('Is it?', ('yes', 'no'), name='n' * 256)
    engine.watch('Is it?', ('yes', 'no'), name='n' * 255)


@pytest.mark.parametrize(
    'text, sentence',
    [
        (MEGABYTE, 'characters'),
        ('x' * 300, 'tokens'),
        ('<|vision_start|><|video_pad|><|vision_end|>', 'control token'),
    ],
)
def test_a_system_prompt_has_a_bound(text: Any, sentence: str) -> None:
    """It is refused where the stream is made."""
    with pytest.raises(StreamError, match=sentence) as caught:
        stream(system_prompt=text, max_system_tokens=200)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    stream(system_prompt='x' * 200, max_system_tokens=200)


def test_a_long_question_lets_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is prefilled in pieces; between two of them frames are taken and others are answered."""
    engine = stream(chunk_frames=2, max_question_tokens=8192)
    worker = StreamWorker(engine)
    passes: list[str] = []
    runner = ModelRunner.of(engine.model)
    prefill = runner.prefill

    def watched(ids: Any, positions: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
        passes.append('frames' if context is engine.stream.cache else 'question')
        assert len(ids) <= 512
        return prefill(ids, positions, context, *args, **kwargs)

    monkeypatch.setattr(runner, 'prefill', watched)
    try:
        for i, frame in enumerate(random_clip(1, 24, 56, 56)):
            worker.submit_frame(frame, (1 + i) * 10**9)
        long = worker.ask('y' * 6000, max_new_tokens=1)
        worker.start()
        long.result(120)
    finally:
        worker.stop()
    asked = [i for i, what in enumerate(passes) if what == 'question']
    assert len(asked) >= 12
    between = passes[asked[0] : asked[-1]].count('frames')
    assert between >= 4


def test_a_timeout_ends_a_prefill_at_the_next_piece() -> None:
    """Not when all of it is done; what it held is free."""
    engine = stream(chunk_frames=2, max_question_tokens=8192)
    for i, frame in enumerate(random_clip(1, 4, 56, 56)):
        engine.append_frame(frame, float(i))
    worker = StreamWorker(engine)
    advance, pieces = engine.questions.advance, []

    def slow(opened: Any) -> None:
        pieces.append(opened)
        if len(pieces) == 2:
            request.timeout = 1e-9  # its time is over from here on
        advance(opened)

    engine.questions.advance = slow
    long = worker.ask('y' * 6000, max_new_tokens=1, timeout=1000.0)
    request = worker._session.requests.waiting[0]
    worker.start()
    try:
        with pytest.raises(StreamError) as caught:
            long.result(60)
        assert caught.value.code is ErrorCode.TIMEOUT
        assert worker.ask('What?', max_new_tokens=1).result(60)
    finally:
        worker.stop()
    assert len(set(map(id, pieces))) == 2 and sum(each is pieces[0] for each in pieces) == 2
    assert not engine.stream.cache.readers


@pytest.mark.parametrize('what', ASK)
def test_half_of_a_surrogate_pair_is_not_text(what: str) -> None:
    """It is the caller's fault, not one of the program."""
    engine, _ = shown()
    with pytest.raises(StreamError, match='surrogate') as caught:
        ASK[what](engine, '\ud83d ' * 26)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
