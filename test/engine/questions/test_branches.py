# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Branches: decoded together as if alone, over a stream that goes on, in their own memory."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from support.models.random_models import processor, random_clip, random_model, SHAPES
import torch

from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.kvcache import contexts
from streamvlm_ros.engine.kvcache.tail import BLOCK, Tail
from streamvlm_ros.engine.questions.sequence import Sequence

QUESTIONS = [
    'What?',
    'Is there a box?',
    'And now?',
    'Where does the red one go then?',
    'Who?',
    'How many?',
    'Which of them was first?',
    'Why?',
]
TOKENS = 24


def stream(shape: str = 'grouped', frames: int = 8, **settings: Any) -> VideoStreamingInference:
    """Return an engine that has seen a clip."""
    engine = VideoStreamingInference(
        random_model(shape), processor(), settings=StreamSettings(**settings)
    )
    feed(engine, 0, frames)
    return engine


def feed(engine: VideoStreamingInference, first: int, last: int) -> None:
    """Append the frames of one long clip from ``first`` to before ``last``."""
    for i, frame in enumerate(random_clip(3, last, 56, 84)[first:], start=first):
        engine.append_frame(frame, 0.5 * i)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[Sequence, list[torch.Tensor]]:
    """Return the logits that every answer's tokens were drawn from."""
    logits: dict[Sequence, list[torch.Tensor]] = defaultdict(list)
    take = Sequence.take

    def spy(self: Any, row: Any) -> None:
        logits[self].append(row.clone())
        take(self, row)

    monkeypatch.setattr(Sequence, 'take', spy)
    return logits


def finish(engine: VideoStreamingInference, opened: list) -> list[str]:
    """Decode all answers together to their ends; return their texts."""
    while not all(each.ended for each in opened):
        engine.questions.decode(opened)
    return [engine.questions.close(each).text for each in opened]


def assert_equal(one: list[torch.Tensor], other: list[torch.Tensor], tolerance: float) -> None:
    """Compare the logits of two answers, token by token."""
    assert len(one) == len(other)
    for a, b in zip(one, other):
        assert int(a.argmax()) == int(b.argmax())
        assert (a - b).abs().max() <= tolerance


@pytest.mark.parametrize('mode', ['continuous', 'append'])
@pytest.mark.parametrize('shape', SHAPES)
def test_eight_together_equal_the_eight_alone(
    shape: str, mode: str, drawn: dict[Sequence, list[torch.Tensor]]
) -> None:
    """Opened over two different prefixes, with odd frames, of different lengths: none matters."""
    together = stream(shape, position_mode=mode)
    opened = [together.questions.open(q, TOKENS - i) for i, q in enumerate(QUESTIONS[:5])]
    feed(together, 8, 13)
    opened += [together.questions.open(q, TOKENS) for q in QUESTIONS[5:]]
    assert len({each.context.prefix for each in opened}) == 2
    texts = finish(together, opened)
    for i, question in enumerate(QUESTIONS):
        late = i >= 5
        alone = stream(shape, 13 if late else 8, position_mode=mode)
        one = alone.questions.open(question, TOKENS if late else TOKENS - i)
        assert finish(alone, [one]) == [texts[i]]
        assert_equal(drawn[opened[i]], drawn[one], 1e-4)
    assert len(set(texts)) > 4


def test_a_round_is_one_pass(passes: list[int]) -> None:
    """Eight open answers are decoded as one batch; those that have ended take no part."""
    engine = stream()
    opened = [engine.questions.open(q, 2 if i < 3 else TOKENS) for i, q in enumerate(QUESTIONS)]
    passes.clear()
    engine.questions.decode(opened)
    engine.questions.decode(opened)
    engine.questions.decode([each for each in opened if each.ended])
    assert passes == [8, 5]


def test_branches_of_one_prefix_attend_to_it_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five with one prefix and three with another: two calls over prefixes a layer."""
    engine = stream()
    opened = [engine.questions.open(q, TOKENS) for q in QUESTIONS[:5]]
    feed(engine, 8, 12)
    opened += [engine.questions.open(q, TOKENS) for q in QUESTIONS[5:]]
    calls = []
    attend_partly = contexts.attend_partly

    def spy(query: Any, pieces: Any) -> Any:
        calls.append(query.shape[1])
        return attend_partly(query, pieces)

    monkeypatch.setattr(contexts, 'attend_partly', spy)
    engine.questions.decode(opened)
    layers = SHAPES['grouped']['layers']
    assert sorted(calls) == sorted(layers * [1] * 8 + layers * [5, 3])


def test_no_branch_sees_another(drawn: dict[Sequence, list[torch.Tensor]]) -> None:
    """What stands in another's tail, were it not even a number, changes nothing."""
    logits = []
    for poisoned in (False, True):
        engine = stream()
        opened = [engine.questions.open(q, TOKENS) for q in QUESTIONS[:3]]
        if poisoned:
            tail = opened[1].context.tail
            with torch.inference_mode():
                for layer in range(SHAPES['grouped']['layers']):
                    for buffer in tail.view(layer, 0, tail.length):
                        buffer.fill_(float('nan'))
        for _ in range(6):
            engine.questions.decode(opened)
        logits.append([drawn[opened[0]], drawn[opened[2]]])
        assert poisoned == bool(drawn[opened[1]][-1].isnan().all())
    for clean, beside in zip(*logits):
        assert_equal(clean, beside, 0.0)


@pytest.mark.parametrize('mode', ['continuous', 'append'])
@pytest.mark.parametrize('shape', SHAPES)
def test_fifty_chunks_while_an_answer_is_decoded(
    shape: str, mode: str, drawn: dict[Sequence, list[torch.Tensor]]
) -> None:
    """The answer is that of the halted stream; the stream is one that was never asked."""
    halted, moving, silent = (stream(shape, position_mode=mode) for _ in range(3))
    still = halted.questions.open(QUESTIONS[3], 51)
    finish(halted, [still])
    opened = moving.questions.open(QUESTIONS[3], 51)
    for chunk in range(50):
        feed(moving, 8 + 4 * chunk, 12 + 4 * chunk)
        moving.questions.decode([opened])
    finish(moving, [opened])
    assert_equal(drawn[still], drawn[opened], 0.0)
    feed(silent, 8, 208)
    assert moving.stream.state == silent.stream.state
    assert moving.get_cache_info() == silent.get_cache_info()
    asked = [engine.questions.open('And after it all?', 5) for engine in (moving, silent)]
    for engine, one in zip((moving, silent), asked):
        finish(engine, [one])
    assert_equal(*(drawn[one] for one in asked), 0.0)


def test_a_failed_pass_leaves_every_answer_as_it_was(
    monkeypatch: pytest.MonkeyPatch, drawn: dict[Sequence, list[torch.Tensor]]
) -> None:
    """What was drawn stays, and the next pass goes on from there."""
    engine, other = stream(), stream()
    opened = [engine.questions.open(q, TOKENS) for q in QUESTIONS[:3]]
    engine.questions.decode(opened)
    write = Tail.write
    calls = []

    def failing(self: Any, layer: Any, *args: Any) -> Any:
        calls.append(layer)
        if len(calls) == 5:
            raise RuntimeError('the device is gone')
        return write(self, layer, *args)

    monkeypatch.setattr(Tail, 'write', failing)
    with pytest.raises(RuntimeError, match='gone'):
        engine.questions.decode(opened)
    monkeypatch.undo()
    assert {len(each.tokens) for each in opened} == {2}
    texts = finish(engine, opened)
    assert texts == [other.ask(q, TOKENS)[0] for q in QUESTIONS[:3]]


def test_a_tail_takes_memory_for_what_is_there() -> None:
    """A limit of thousands of tokens costs nothing before they come, and growth is in blocks."""
    engine = stream(capacity=16384)
    short, long = (engine.questions.open('What?', limit) for limit in (1, 16000))
    tails = [each.context.tail for each in (short, long)]
    assert tails[0].memory_bytes == tails[1].memory_bytes > 0
    assert tails[1].capacity - tails[1].length < BLOCK
    long._template = type('NoStop', (), {'stop': ()})()
    used = []
    for _ in range(400):
        engine.questions.decode([long])
        used.append(tails[1].memory_bytes)
        assert tails[1].length <= tails[1].capacity <= 1.5 * tails[1].length + BLOCK
    assert 4 < len(set(used)) < 15
    for each in (short, long):
        engine.questions.abandon(each)
        engine.questions.abandon(each)
    assert [tail.memory_bytes for tail in tails] == [0, 0]


@pytest.mark.parametrize('keep', [False, True])
def test_closing_frees_the_tail(keep: bool) -> None:
    """Also when the turn is kept: it is in the stream then."""
    engine = stream()
    before = engine.get_cache_info().tokens
    opened = engine.questions.open('What?', 4, keep)
    tail = opened.context.tail
    finish(engine, [opened])
    assert tail.memory_bytes == 0
    assert (engine.get_cache_info().tokens > before) == keep


def test_a_growing_tail_keeps_what_it_has() -> None:
    """Every growth copies what was written, layer by layer."""
    tail = Tail(2, 4, torch.float32, [torch.device('cpu')] * 2)
    written = torch.randn(2, 2, 2, 300, 4)
    for start, tokens in ((0, 5), (5, 1), (6, 200), (206, 94)):
        tail.reserve(tokens)
        for layer in range(2):
            tail.write(layer, *written[layer, :, :, start : start + tokens])
        tail.advance(tokens)
    for layer in range(2):
        assert torch.equal(torch.stack(tail.view(layer, 0, tail.length)), written[layer])


def test_a_question_needs_no_room_for_frames_that_wait() -> None:
    """Frames that have no room in the stream while an answer is open have it in a branch."""
    engine = stream(capacity=128, chunk_frames=8)
    opened = engine.questions.open('What?', TOKENS)
    frames = 8
    while not (engine.stream.must_wait and len(engine.stream.pending) > 5):
        assert frames < 200
        feed(engine, frames, frames + 1)
        frames += 1
    info = engine.get_cache_info()
    assert not engine.questions.must_wait
    assert engine.ask('And now?', 4)[1]['completion_tokens'] > 0
    assert engine.get_cache_info() == info
    finish(engine, [opened])
    assert not engine.stream.must_wait


def test_an_answer_may_draw_any_token(drawn: dict[Sequence, list[torch.Tensor]]) -> None:
    """A video pad that the model draws has a text token's place, and the turn can be kept."""
    engine = stream()
    pad = engine.questions._prompt.pad
    opened = [engine.questions.open(q, 4, q == 'Who?') for q in ('Who?', 'What?')]
    for each in opened:
        each.tokens[-1], each.finish_reason = pad, ''
    last = opened[0].state.last_cache_position
    for i in range(3):
        engine.questions.decode(opened)
        assert opened[0].state.last_cache_position == last + i + 1
        for each in opened:
            each.tokens[-1], each.finish_reason = pad, ''
    finish_position = engine.get_cache_info().last_cache_position
    opened[0].finish_reason = 'length'
    engine.questions.close(opened[0])
    assert engine.get_cache_info().last_cache_position > finish_position
    feed(engine, 8, 12)
