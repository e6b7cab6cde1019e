# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Answers by generation settings: the tokens of stock ``generate``, and the same answer twice."""

from __future__ import annotations

import pathlib
import types
from typing import Any

import pytest
from support.models.random_models import processor, random_clip, random_model
from support.reference.generation import Case, FOLDERS, offline, streamed
from support.saving.streams import feed, stream
import torch
from transformers import GenerationConfig
from transformers.generation import logits_process as stock

from streamvlm_ros.answer_settings import AnswerSettings
from streamvlm_ros.engine import (
    ErrorCode,
    KVCacheManager,
    StreamError,
    StreamSettings,
    VideoStreamingInference,
)
from streamvlm_ros.engine.kvcache.entries import EntryInfo
from streamvlm_ros.engine.models.generation import GenerationSettings
from streamvlm_ros.engine.ops.sampling import penalize, warp
from streamvlm_ros.engine.questions.sampler import SamplingParams


@pytest.mark.parametrize('seed', range(len(FOLDERS)))
def test_the_tokens_of_stock_generate(seed: int) -> None:
    """Penalties over all of the prompt; draws by the same seed.  More: generation_cases.py."""
    case = Case.random(seed)
    answers = streamed(case)
    assert answers == offline(case, answers)


@pytest.mark.parametrize('seed', range(40))
def test_scores_are_those_of_the_stock_processors(seed: int) -> None:
    """The same classes in the order in which ``generate`` has them, with ties among the scores."""
    torch.manual_seed(seed)
    logits = torch.randn(3, 500) * 4
    logits[0, :40] = logits[0, 40:80]
    ids = torch.randint(500, (3, 60))
    choose = [torch.rand(()).item() for _ in range(5)]
    penalty, temperature = 0.5 + choose[0], 0.1 + 2 * choose[1]
    top_k, top_p, min_p = (0, 1, 20, 600)[seed % 4], max(0.01, choose[2]), choose[3] / 10
    expected = stock.RepetitionPenaltyLogitsProcessor(penalty)(ids, logits)
    seen = torch.zeros(3, 500, dtype=torch.bool).scatter_(1, ids, True)
    assert torch.equal(penalize(logits, seen, penalty), expected)
    assert torch.equal(penalize(logits, seen, torch.full((3, 1), penalty)), expected)
    processors = [stock.TemperatureLogitsWarper(temperature)]
    processors += [stock.TopKLogitsWarper(top_k)] if top_k else []
    processors += [stock.TopPLogitsWarper(top_p), stock.MinPLogitsWarper(min_p)]
    scores = expected
    for each in processors:
        expected = each(ids, expected)
    mine = warp(scores, temperature, top_k, top_p, min_p).softmax(-1)
    assert (mine - expected.softmax(-1)).abs().max() <= 1e-6
    assert ((mine > 0) == (expected.softmax(-1) > 0)).all()


def engine(**settings: Any) -> VideoStreamingInference:
    """Return a stream of four frames."""
    made = VideoStreamingInference(
        random_model('grouped'), processor(), settings=StreamSettings(**settings)
    )
    made.append_video_chunk(random_clip(1, 4, 56, 56), fps=2)
    return made


VARIED = (
    None,
    AnswerSettings(repetition_penalty=0.7),
    AnswerSettings(sample=True, seed=3),
    AnswerSettings(temperature=0.8, top_k=9, repetition_penalty=1.1, seed=4),
    AnswerSettings(generation='plain', repetition_penalty=3.0),
)


def test_answers_with_other_settings_do_not_touch_each_other() -> None:
    """Decoded as one batch, each is what it is alone, drawn ones too; twice the same."""
    made = engine()

    def tokens(asked: Any) -> list[list[int]]:
        opened = [made.questions.open('What?', 24, settings=each) for each in asked]
        while not all(each.ended for each in opened):
            made.questions.decode(opened)
        found = [list(each.tokens) for each in opened]
        for each in opened:
            made.questions.close(each)
        return found

    alone = [tokens([each])[0] for each in VARIED]
    assert len({tuple(each) for each in alone}) == len(VARIED)
    assert tokens(VARIED) == alone
    assert tokens(VARIED[::-1]) == alone[::-1]


def test_the_seed_decides_what_is_drawn() -> None:
    """By default too; another seed gives another answer."""
    made = engine()
    said = [made.ask('What?', 12, sample=True, seed=seed).text for seed in (0, 0, 1, 2, 1)]
    assert said[0] == said[1] and said[2] == said[4] and len(set(said)) == 3
    assert made.ask('What?', 12, sample=True).text == said[0]


def test_choices_are_raw_probabilities() -> None:
    """No penalty of the model's folder goes into them."""
    made, model = engine(), random_model('grouped')
    expected = made.ask_choice('Which?', ['red', 'dark'])
    assert model.generation_config.repetition_penalty is None
    model.generation_config.repetition_penalty = 2.0
    try:
        penalized = engine()
        assert penalized.ask('What?', 24).text != made.ask('What?', 24).text
        assert penalized.ask('What?', 24, generation='plain').text == made.ask('What?', 24).text
        assert penalized.ask_choice('Which?', ['red', 'dark']) == expected
    finally:
        model.generation_config.repetition_penalty = None


def test_what_is_penalized_is_what_is_cached() -> None:
    """Ids come with entries and go with them: evicted turns, snapshots, copies, resets."""
    made = stream(kept_turns=1)
    feed(made, 0, 6)
    cache = made.stream.cache
    first = cache.ids
    assert random_model('grouped').config.video_token_id in first and ord('Z') not in first
    made.ask('Z?', 3, update_state=True)
    held = processor().tokenizer.encode('Z', add_special_tokens=False)[0]
    assert held in cache.ids
    assert KVCacheManager.clone(cache).ids == cache.ids
    manager = KVCacheManager(cache)
    before = cache.ids
    owner = types.SimpleNamespace(stream_state=made.stream.state)
    manager.snapshot(owner)
    cache.reserve(2)
    cache.advance(2)
    cache.label([(2, EntryInfo())], torch.zeros(3, 2, dtype=torch.long), [1, 2])
    assert cache.ids == before | {1, 2} != before
    manager.restore(owner)
    assert cache.ids == before
    made.ask('And?', 3, update_state=True)  # the one before is evicted
    assert held not in cache.ids and cache.ids != before
    made.reset()
    assert not cache.ids


def test_a_kept_answer_is_penalized_by_its_own_ids() -> None:
    """Not by those of the placeholders at which its tokens are placed."""
    made = engine()
    sequence = made.questions.open('What?', 5, update_state=True)
    while not sequence.ended:
        made.questions.decode([sequence])
    tokens = set(sequence.tokens)
    made.questions.close(sequence)
    assert tokens <= made.stream.cache.ids


@pytest.mark.parametrize(
    ('values', 'sentence'),
    [
        ({'temperature': float('nan')}, 'temperature is nan; give 1e-06 to 100'),
        ({'temperature': -0.5}, 'temperature is -0.5; give'),
        ({'temperature': 1e-9}, 'temperature is 1e-09; give'),
        ({'top_p': 1.5}, 'top_p is 1.5; give 0 to 1'),
        ({'top_p': float('inf')}, 'top_p is inf'),
        ({'min_p': -0.1}, 'min_p is -0.1'),
        ({'top_k': -1}, 'top_k is -1; give a whole number'),
        ({'top_k': 2.5}, 'top_k is 2.5'),
        ({'repetition_penalty': 0.001}, 'repetition_penalty is 0.001; give 0.01 to 100'),
        ({'repetition_penalty': 'high'}, "repetition_penalty is 'high'"),
        ({'seed': -1}, 'seed is -1'),
        ({'seed': True}, 'seed is True'),
        ({'sample': 1}, r'sample is 1 \(int\); give True or False'),
        ({'generation': 'greedy'}, "generation is 'greedy'; give 'model', 'plain' or nothing"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any], sentence: str) -> None:
    """With the value and the bound; nothing was opened."""
    made = engine()
    with pytest.raises(StreamError, match=sentence) as caught:
        made.ask('What?', 3, **values)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert not made.stream.cache.pinned


def test_a_request_goes_before_the_node_and_that_before_the_model() -> None:
    """One that names its source takes only the seed of the node."""
    node = AnswerSettings('model', temperature=0.5, top_k=7, seed=5)
    model = GenerationSettings(temperature=0.7, top_p=0.8, top_k=20, repetition_penalty=1.05)
    of = SamplingParams.of
    assert of(AnswerSettings(top_k=3).over(node), model) == SamplingParams(
        0.5, 0.8, 3, 0.0, 1.05, 5
    )
    assert of(AnswerSettings('plain').over(node), model) == SamplingParams(seed=5)
    assert of(AnswerSettings('model').over(node), model) == SamplingParams(
        0.0, 0.8, 20, 0.0, 1.05, 5
    )
    assert of(AnswerSettings('plain', sample=True), model) == SamplingParams(1.0)
    # Published: a temperature of 1e-6 is drawn with; 0 takes the most probable token.
    for temperature, expected in ((1e-6, 1e-6), (0.0, 0.0)):
        folder = GenerationSettings(temperature=temperature)
        assert of(AnswerSettings(sample=True), folder).temperature == expected


def test_what_a_folder_says() -> None:
    """As transformers reads it; what is not applied is named."""
    published: dict[str, Any] = {
        'do_sample': True,
        'repetition_penalty': 1.05,
        'eos_token_id': [5, 3],
    }
    assert GenerationSettings.of(published) == GenerationSettings(
        (5, 3), True, top_k=50, repetition_penalty=1.05
    )
    assert GenerationSettings.of(GenerationConfig(**published)) == GenerationSettings.of(published)
    assert GenerationSettings.of(None) == GenerationSettings(top_k=50)
    odd = {'num_beams': 4, 'no_repeat_ngram_size': 3, 'num_beam_groups': 1, 'typical_p': 1.0}
    settings = GenerationSettings.of(odd)
    assert settings.not_applied == ('num_beams 4', 'no_repeat_ngram_size 3')
    [told] = settings.sentences
    assert 'not applied here: num_beams 4, no_repeat_ngram_size 3.' in told
    [told] = GenerationSettings.of(published).sentences
    assert 'a repetition penalty of 1.05: answers take the most probable token' in told
    assert not GenerationSettings().sentences


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('repetition_penalty', float('nan')),
        ('repetition_penalty', 0),
        ('repetition_penalty', -1.0),
        ('repetition_penalty', '1.05'),
        ('repetition_penalty', True),
        ('temperature', float('inf')),
        ('temperature', -1e-6),
        ('top_p', 1.1),
        ('top_k', -1),
        ('top_k', 3.5),
        ('min_p', [0.1]),
        ('do_sample', 'yes'),
        ('eos_token_id', [1, None]),
        ('eos_token_id', -1),
    ],
)
def test_impossible_values_of_a_folder_are_refused(name: str, value: Any) -> None:
    """With the file, the value and what it may be."""
    file = pathlib.Path('model', 'generation_config.json')
    with pytest.raises(ValueError, match=rf'generation_config\.json: {name} is .* must be'):
        GenerationSettings.of({name: value}, str(file))
