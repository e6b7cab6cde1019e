# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A GPU's way through the decoder, on interpreted kernels: the same answers as without it."""

from __future__ import annotations

import contextlib
import copy
import gc
from typing import Any
import weakref

import numpy as np
import pytest
from support.kernels.switch import kernels, QUESTIONS
from support.models.random_models import BRIEF_TEMPLATE, processor, random_clip, random_model
from support.whole import sampled
import torch

from streamvlm_ros.answer_settings import AnswerSettings
from streamvlm_ros.engine import StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.positions import Grid
from streamvlm_ros.engine.questions import branch as branches
from streamvlm_ros.engine.questions.branch import Branch, BranchPrompt, finish
from streamvlm_ros.engine.questions.decoder import Decoder
from streamvlm_ros.engine.questions.scoring import ChoicePrompt, score_pieces
from streamvlm_ros.engine.runner.cuda_graphs import GraphRunner
from streamvlm_ros.engine.runner.model_runner import ModelRunner
from streamvlm_ros.engine.stream.frames import Frame

pytestmark = pytest.mark.slow

__all__ = ['kernels']  # a fixture


def play(shape: str, mode: str, **settings: Any) -> list:
    """Return what an engine says at every step of a stream that does a bit of everything."""
    engine = VideoStreamingInference(
        random_model(shape),
        processor(BRIEF_TEMPLATE),
        settings=StreamSettings(position_mode=mode, **settings),
    )
    said = []
    for index, frame in enumerate(random_clip(5, 15, 56, 56)):
        engine.append_frame(frame, 0.5 * index)
        if index in (2, 14):
            said += [engine.ask(question, 3)[0] for question in QUESTIONS[1:]]
            said.append(
                np.round(engine.ask_choice('?', ['red', 'dark']).probabilities, 4).tolist()
            )
        if index == 7:
            said.append(engine.ask('Keep.', 5, update_state=True)[0])
        if index == 9:
            opened = [engine.questions.open(question, 5) for question in QUESTIONS]
        if index > 9 and opened:
            # One more of them is decoded in every round, so that batches change.
            engine.questions.decode(opened[: index - 9])
            if all(each.ended for each in opened):
                said += [engine.questions.close(each).text for each in opened]
                opened = []
    while opened:
        engine.questions.decode([each for each in opened if not each.ended])
        if all(each.ended for each in opened):
            said += [engine.questions.close(each).text for each in opened]
            opened = []
    state = engine.stream.state
    keys = [
        engine.stream.cache.content(layer)[0].clone()
        for layer in range(len(engine.stream.cache.keys))
    ]
    assert (engine.get_cache_info().evicted_tokens > 0) == ('memory_tokens' in settings)
    return [said, state, keys]


@pytest.mark.parametrize(
    'shape, mode, settings',
    sampled(
        [
            ('grouped', 'continuous', {'memory_tokens': 50}),
            ('one_kv_head', 'append', {}),
            ('ungrouped', 'continuous', {'memory_tokens': 50}),
            ('grouped', 'continuous', {}),
        ],
        2,
    ),
)
def test_the_same_with_kernels(
    shape: str, mode: str, settings: dict[str, Any], kernels: Any
) -> None:
    """Words, probabilities, positions and cached keys are those of the way without kernels."""
    model = random_model(shape)
    expected = play(shape, mode, **settings)
    calls = kernels(model)
    said, state, keys = play(shape, mode, **settings)
    assert calls.done and all(calls.done)
    assert calls.passes.graphs.captured > 2
    assert said == expected[0]
    assert state == expected[1]
    for mine, theirs in zip(keys, expected[2]):
        assert torch.allclose(mine, theirs, atol=1e-4)


def test_pieces_are_the_same_with_kernels(kernels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees and long runs behind a tail; frames that are cut; scores and logits."""
    monkeypatch.setattr(branches, 'PIECE', 16)
    model = random_model('one_kv_head')
    engine = VideoStreamingInference(model, processor())
    engine.append_video_chunk(random_clip(1, 4, 56, 56), fps=2)
    stream = engine.stream
    frames = [
        Frame(image, 10**10 + index, 10**10 + index)
        for index, image in enumerate(random_clip(2, 10, 56, 56))
    ]
    layout = stream._layout(frames)
    chunk = stream._chunks.encode(frames, layout, stream.place)
    numbers = list(range(60))
    # Two that share a pass, and one whose second choice has passes of its own.
    prompts = [
        ChoicePrompt(None, None, numbers[20:25], [[1], numbers[30:34], numbers[2:4]]),
        ChoicePrompt(None, None, numbers[:9], [numbers[:2], numbers[:19]]),
        ChoicePrompt(None, None, numbers[:3], [numbers[:3]]),
    ]

    def said() -> list[torch.Tensor]:
        branch = Branch(model, stream.cache, stream.state)
        first = finish(branch.prefill_pieces(BranchPrompt(chunk, 2 * 10**10, numbers[:20])))
        scores = finish(score_pieces(branch, prompts))
        branch.close()
        return [first, *scores]

    expected = said()
    calls = kernels(model)
    for one, other in zip(said(), expected, strict=True):
        assert torch.allclose(one, other, atol=1e-4)
    # The frames and the text behind them, those that share one, a prompt, its choices.
    assert calls.done == [True] * (3 + 1 + 1 + 1 + 2)


def test_two_videos_of_one_size(kernels: Any) -> None:
    """Each stays what it is alone: a replayed ViT pass writes over what it gave before."""
    model = random_model('grouped')
    runner, grid = ModelRunner.of(model), Grid(1, 2, 2)
    videos = torch.randn(2, 16, 1176)
    expected = [runner.encode(video, grid) for video in videos]
    assert not torch.allclose(*expected, atol=1e-2)
    kernels(model)
    for _ in range(3):
        for mine, other in zip([runner.encode(video, grid) for video in videos], expected):
            assert torch.allclose(mine, other, atol=1e-4)


def test_grids_of_one_size_and_two_shapes(kernels: Any) -> None:
    """An upright picture has as many patches as one on its side, and another ViT pass."""
    model = random_model('grouped')
    patches = torch.randn(4 * 8, 1176)
    grids = Grid(1, 2, 4), Grid(1, 4, 2), Grid(2, 2, 2)
    with torch.inference_mode():
        runner = ModelRunner.of(model)
        expected = [runner.encode(patches, grid) for grid in grids]
        kernels(model)
        for _ in range(3):
            for grid, each in zip(grids, expected):
                assert torch.allclose(runner.encode(patches, grid), each, atol=1e-4)


def test_passes_are_run_on_the_gpu_of_the_model(
    kernels: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels are launched and recorded on the GPU that is current, which need not be it."""
    model = random_model('grouped')
    graphs = kernels(model).passes.graphs
    current: list[torch.Tensor] = []
    seen: dict[str, torch.Tensor] = {}

    @contextlib.contextmanager
    def device_of(tensor: Any) -> Any:
        current.append(tensor)
        yield
        current.pop()

    def run(key: Any) -> None:
        seen[key[0]] = current[-1]
        GraphRunner.run(graphs, key)

    monkeypatch.setattr(torch.cuda, 'device_of', device_of)
    monkeypatch.setattr(graphs, 'run', run)
    engine = VideoStreamingInference(model, processor())
    engine.append_video_chunk(random_clip(1, 2, 56, 56), fps=2)
    engine.ask('?', 2)
    assert seen.keys() == {'vision', 'sequence', 'batch'}
    assert all(tensor is model.get_input_embeddings().weight for tensor in seen.values())


def test_a_stream_that_draws_joins_one_that_does_not(kernels: Any) -> None:
    """Tokens that were under way when it joined are not given out a second time."""
    model = random_model('grouped')

    def said() -> list[int]:
        engine = VideoStreamingInference(model, processor())
        engine.append_video_chunk(random_clip(1, 4, 56, 56), fps=2)
        first = engine.questions.open(QUESTIONS[0], 8)
        for _ in range(2):
            engine.questions.decode([first])
        # Nearly greedy, but drawn on the host: the batch is not one for the device alone.
        other = engine.questions.open(QUESTIONS[1], 3, settings=AnswerSettings(temperature=1e-6))
        while not first.ended:
            engine.questions.decode([each for each in (first, other) if not each.ended])
        return [first.tokens, other.tokens]

    expected = said()
    kernels(model)
    assert said() == expected


def test_new_weights_get_new_passes(kernels: Any) -> None:
    """Passes over weights that were moved or converted would read what is not there any more."""
    model = random_model('grouped')
    runner = ModelRunner.of(model)
    calls = kernels(model)
    assert runner.passes is calls.passes
    model.to(torch.float32)
    assert runner.passes is None


def test_a_model_that_nobody_holds_is_freed(kernels: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its runner and its decoder keep neither it nor themselves."""
    model = copy.deepcopy(random_model('grouped'))
    kernels(model)
    engine = VideoStreamingInference(model, processor())
    engine.append_video_chunk(random_clip(1, 2, 56, 56), fps=2)
    opened = engine.questions.open('?', 8)
    engine.questions.decode([opened])
    engine.questions.abandon(opened)
    left = weakref.ref(model), weakref.ref(Decoder.of(model))
    assert Decoder.of(model)._flight is not None
    monkeypatch.undo()  # it holds the runner, and could not put back what a freed model had
    del model, engine, opened
    gc.collect()
    assert [each() for each in left] == [None] * 2


def test_penalties_of_branches(kernels: Any) -> None:
    """Each branch has its own, or none; tokens that are under way are counted, once."""
    model = random_model('grouped')
    asked = [
        AnswerSettings(repetition_penalty=100.0),
        None,
        AnswerSettings(repetition_penalty=0.7),
        AnswerSettings(repetition_penalty=0.01),
    ]

    def said() -> list[list[int]]:
        engine = VideoStreamingInference(model, processor(BRIEF_TEMPLATE))
        engine.append_video_chunk(random_clip(3, 4, 56, 56), fps=2)
        # Of different lengths, and opened one after the other: batches change.
        opened = []
        for index, settings in enumerate(asked):
            opened.append(engine.questions.open('?', 6 + index, settings=settings))
            for _ in range(2):
                engine.questions.decode([each for each in opened if not each.ended])
        while not all(each.ended for each in opened):
            engine.questions.decode([each for each in opened if not each.ended])
        return [each.tokens for each in opened]

    expected = said()
    assert len({tuple(tokens[:6]) for tokens in expected}) == len(asked)
    calls = kernels(model)
    assert said() == expected
    keys = {key for key in calls.passes.graphs._works if key[0] == 'batch'}
    assert {penalized for _, _, penalized in keys} == {True}
