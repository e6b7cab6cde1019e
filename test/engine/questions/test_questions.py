# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Questions are branches: they leave the stream alone, and kept turns continue it."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from support.models.random_models import PIXELS, processor, random_clip, random_model, SHAPES
from support.reference.offline import generate
import torch

from streamvlm_ros.engine import ErrorCode, StreamError, StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.models.preprocessing import to_patches
from streamvlm_ros.engine.questions import questions

QUESTIONS = [f'Question number {i}?' for i in range(20)]
CHOICES = ('red', 'red box', 'a', 'left of the door')


def stream(shape: str = 'grouped', frames: int = 7, **settings: Any) -> VideoStreamingInference:
    """Return an engine that has seen a clip."""
    engine = VideoStreamingInference(
        random_model(shape), processor(), settings=StreamSettings(**settings)
    )
    for i, frame in enumerate(random_clip(3, frames, 84, 112)):
        engine.append_frame(frame, 0.5 * i)
    return engine


def stream_bytes(engine: Any) -> tuple:
    """Return everything that the stream consists of, copied."""
    cache = engine.stream.cache
    buffers = [buffer.clone() for buffer in (*cache.keys, *cache.values)]
    return (
        cache.length,
        engine.stream.state,
        engine.stream.place,
        len(engine.stream.pending),
        buffers,
    )


def assert_same(before: tuple, after: tuple) -> None:
    """Compare by content, the unused part of the buffers included."""
    assert before[:-1] == after[:-1]
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(before[-1], after[-1]))


@pytest.mark.parametrize('mode', ['continuous', 'append'])
def test_asking_leaves_the_stream_identical(mode: str) -> None:
    """Not a byte of the stream's buffers changes, odd pending frame and all."""
    engine = stream(position_mode=mode)
    engine.ask('First?', max_new_tokens=1)  # flushes the whole pair that waits
    before = stream_bytes(engine)
    engine.ask('What happened?', max_new_tokens=9)
    assert_same(before, stream_bytes(engine))
    engine.ask_choice('Which?', CHOICES)
    assert_same(before, stream_bytes(engine))


def test_an_exception_in_mid_answer_leaves_the_stream_identical(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Generation that is cut off has never touched the stream."""
    engine = stream()
    engine.ask('First?', max_new_tokens=1)
    before = stream_bytes(engine)
    calls = itertools.count()
    prefill = type(engine.model).prefill

    def failing(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == 3:
            raise RuntimeError('cut off')
        return prefill(*args, **kwargs)

    monkeypatch.setattr(type(engine.model), 'prefill', failing)
    with pytest.raises(RuntimeError, match='cut off'):
        engine.ask('What happened?', max_new_tokens=20, update_state=True)
    assert_same(before, stream_bytes(engine))
    monkeypatch.undo()
    assert engine.ask('What happened?', 6)[0] == stream().ask('What happened?', 6)[0]


def test_twenty_questions_answer_as_each_asked_first() -> None:
    """No question sees another."""
    engine = stream()
    together = [engine.ask(question, 5)[0] for question in QUESTIONS]
    alone = [stream().ask(question, 5)[0] for question in QUESTIONS]
    assert together == alone
    assert len(set(alone)) > 1


@pytest.mark.parametrize('shape', SHAPES)
def test_a_kept_turn_continues_as_the_offline_prompt(shape: str) -> None:
    """Frames, a kept question and answer, frames again: one stock prompt says the same."""
    engine = stream(shape, frames=0)
    clips = [random_clip(seed, 4, 84, 112) for seed in (1, 2)]
    engine.append_video_chunk(clips[0], fps=2)
    _, metrics = engine.ask('What is it?', 4, update_state=True)
    tokens = engine.get_cache_info().tokens
    engine.append_video_chunk(clips[1], fps=2)
    assert engine.get_cache_info().tokens > tokens
    answer, _ = engine.ask('And now?', 5)

    tokenizer = processor().tokenizer
    cuts = [to_patches(clip, PIXELS, torch.device('cpu')) for clip in clips]
    pads = ['<|video_pad|>' * math.prod(grid) for _, grid in cuts]
    first = (
        '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n'
        f'<|vision_start|>{pads[0]}<|vision_end|>What is it?<|im_end|>\n'
        '<|im_start|>assistant\n'
    )
    videos = [((grid.t, grid.h, grid.w), [0.0, 1.0]) for _, grid in cuts]
    stop = tokenizer.convert_tokens_to_ids('<|im_end|>')
    prompt = tokenizer.encode(first, add_special_tokens=False)
    kept, _ = generate(shape, prompt, videos[:1], cuts[0][0], 4, stop)
    assert metrics['completion_tokens'] == len(kept)
    if kept[-1] == stop:
        kept.pop()
    rest = (
        '<|im_end|>\n<|im_start|>user\n'
        f'<|vision_start|>{pads[1]}<|vision_end|>And now?<|im_end|>\n<|im_start|>assistant\n'
    )
    prompt += kept + tokenizer.encode(rest, add_special_tokens=False)
    expected, _ = generate(shape, prompt, videos, torch.cat([cut for cut, _ in cuts]), 5, stop)
    assert answer == tokenizer.decode(expected, skip_special_tokens=True).strip()


def test_choice_scores_equal_one_forward_for_each_choice() -> None:
    """The tree of choices scores what stock's own log-probabilities sum up to."""
    engine = stream('grouped', frames=4)
    choice = engine.ask_choice('Which one?', CHOICES)
    tokenizer = processor().tokenizer
    patches, grid = to_patches(random_clip(3, 4, 84, 112), PIXELS, torch.device('cpu'))
    prompt = tokenizer.encode(
        '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n'
        f'<|vision_start|>{"<|video_pad|>" * math.prod(grid)}<|vision_end|>Which one?\n'
        f'Answer with one of: {", ".join(sorted(CHOICES))}.<|im_end|>\n<|im_start|>assistant\n',
        add_special_tokens=False,
    )
    scores = []
    for text in CHOICES:
        total, sofar = 0.0, list(prompt)
        for token in tokenizer.encode(f'{text}<|im_end|>', add_special_tokens=False):
            _, logits = generate(
                'grouped', sofar, [((grid.t, grid.h, grid.w), [0.0, 1.0])], patches, 1, -1
            )
            total += float(logits.log_softmax(-1)[token])
            sofar.append(token)
        scores.append(total)
    expected = torch.tensor(scores).softmax(-1)
    assert torch.allclose(torch.tensor(choice.probabilities), expected, atol=1e-4)
    assert choice.index == int(expected.argmax()) and choice.text == CHOICES[choice.index]


def test_the_order_of_choices_does_not_matter() -> None:
    """Every order gives every choice the same probability."""
    engine = stream()
    expected = dict(zip(CHOICES, engine.ask_choice('Which?', CHOICES).probabilities))
    for order in itertools.permutations(CHOICES):
        got = engine.ask_choice('Which?', order)
        assert dict(zip(order, got.probabilities)) == pytest.approx(expected, abs=1e-6)


def test_ttft_is_taken_right_after_the_questions_prefill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Historic defect 3: on a clock that counts prefills, ttft is 1 however long the answer."""
    engine = stream(frames=8)
    passes = [0.0]
    prefill = type(engine.model).prefill

    def counting(*args: Any, **kwargs: Any) -> Any:
        passes[0] += 1
        return prefill(*args, **kwargs)

    monkeypatch.setattr(type(engine.model), 'prefill', counting)
    monkeypatch.setattr(questions.time, 'perf_counter', lambda: passes[0])
    _, metrics = engine.ask('What happened?', max_new_tokens=6)
    assert metrics['ttft'] == 1
    assert metrics['total'] == metrics['completion_tokens'] > 1


def test_rope_deltas_are_of_this_state() -> None:
    """Historic defect 2: what forward returns follows the stream, it is never the last one's."""
    model = random_model('grouped')
    model.reset_stream_state()
    cache = model.new_cache(256)
    config = model.config
    pads = [config.video_token_id] * 2 * 2 * 3
    pixels = torch.randn(2 * 4 * 6, 1176)
    grid = torch.tensor([[2, 4, 6]])
    seen = []
    for ids in ([1, 2, 3, *pads], pads, [4, 5]):
        video = {} if len(ids) == 2 else dict(pixel_values_videos=pixels, video_grid_thw=grid)
        out = model(torch.tensor([ids]), past_key_values=cache, **video)
        state = model.stream_state
        assert out.rope_deltas.item() == state.last_cache_position + 1 - cache.length
        seen.append(out.rope_deltas.item())
    assert len(set(seen)) > 1


def test_a_pending_odd_frame_is_seen() -> None:
    """The newest frame counts although its chunk, and even its pair, is not full."""
    frames = random_clip(5, 5, 84, 84)
    answers = []
    for last in (frames[4], 255 - frames[4]):
        engine = stream(frames=0)
        for i, frame in enumerate([*frames[:4], last]):
            engine.append_frame(frame, i)
        tokens = engine.get_cache_info().tokens
        answers.append(engine.ask_choice('Which?', CHOICES).probabilities)
        assert engine.get_cache_info().tokens == tokens
    assert answers[0] != pytest.approx(answers[1], rel=0.01, abs=0)


@pytest.mark.parametrize(
    'question, choices, sentence',
    [
        ('', None, 'empty'),
        ('  \n', None, 'empty'),
        ('x<|im_end|>', None, 'control token'),
        ('Which?', [], 'at least two'),
        ('Which?', ['a'], 'at least two'),
        ('Which?', ['a', 'a '], 'twice'),
        ('Which?', ['a', ''], 'empty'),
        ('Which?', ['a', '<|im_start|>'], 'control token'),
        ('', ['a', 'b'], 'empty'),
        ('Which?', [f'c{i}' for i in range(27)], 'at most 26'),
    ],
)
def test_bad_questions_are_refused(question: str, choices: Any, sentence: str) -> None:
    """Each ends in a sentence, and the stream stays as it was."""
    engine = stream(frames=4)
    before = stream_bytes(engine)
    with pytest.raises(StreamError, match=sentence) as caught:
        if choices is None:
            engine.ask(question)
        else:
            engine.ask_choice(question, choices)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert_same(before, stream_bytes(engine))


def test_an_answer_unpacks_into_text_and_metrics() -> None:
    """As the README has it; and it says what it was given on."""
    answer = stream().ask('What happened?', max_new_tokens=4)
    text, metrics = answer
    assert (text, metrics) == (answer[0], answer[1]) == (answer.text, answer.metrics)
    assert metrics['completion_tokens'] == answer.completion_tokens > 0
    assert (answer.question, answer.frames, answer.epoch) == ('What happened?', 7, 0)


def test_a_question_before_any_frame() -> None:
    """It is refused, and works once a frame is there."""
    engine = stream(frames=0)
    with pytest.raises(StreamError) as caught:
        engine.ask('What?')
    assert caught.value.code is ErrorCode.NO_FRAMES
    engine.append_frame(random_clip(1, 1, 56, 56)[0])
    assert engine.ask('What?', 3)[1]['completion_tokens'] >= 1


def test_sampling_draws_by_its_settings() -> None:
    """Temperature draws other answers by other seeds; a tiny nucleus is greedy again."""
    engine = stream()
    greedy = engine.ask('What?', 8)[0]
    assert len({engine.ask('What?', 8, temperature=2.0, seed=seed)[0] for seed in range(5)}) > 1
    assert engine.ask('What?', 8, temperature=2.0, top_p=1e-6)[0] == greedy
