# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A sentence model in the published layout, with random weights of small size."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
from tokenizers import models, pre_tokenizers, Tokenizer
import torch
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from streamvlm_ros.errors import ErrorCode, StreamError
from streamvlm_ros.search.sentence_embedder import BATCH, SentenceEmbedder

WORDS = ['<pad>', '<unk>', 'a', 'red', 'blue', 'ball', 'cross']


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp('sentences')
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=16,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=12,
    )
    BertModel(config).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token='<unk>'))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token='<pad>', unk_token='<unk>'
    ).save_pretrained(folder)
    (folder / '1_Pooling').mkdir()
    pooling = {'word_embedding_dimension': 32, 'pooling_mode_mean_tokens': True}
    (folder / '1_Pooling' / 'config.json').write_text(json.dumps(pooling))
    return folder


def test_a_line_has_one_vector_whatever_it_is_batched_with(folder):
    embedder = SentenceEmbedder(folder)
    lines = ['a red ball', 'a blue cross and a red ball there', 'blue'] * BATCH
    rows = embedder.lines(lines)
    assert rows.shape == (len(lines), embedder.dimensions) == (3 * BATCH, 32)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1.0, abs=1e-5)
    for index in range(3):
        assert np.allclose(embedder.question(lines[index]), rows[index], atol=1e-5)
    assert not np.allclose(rows[0], rows[2], atol=1e-2)
    assert embedder.lines([]).shape == (0, 32)
    assert np.isfinite(embedder.question('a red ball ' * 40)).all()
    assert SentenceEmbedder(folder).fingerprint == embedder.fingerprint


def test_what_cannot_be_is_refused(folder, tmp_path):
    embedder = SentenceEmbedder(folder)
    for call in (
        lambda: embedder.question(' '),
        lambda: embedder.question(None),
        lambda: embedder.lines(['a', 3]),
        lambda: SentenceEmbedder(tmp_path),
    ):
        with pytest.raises(StreamError) as caught:
            call()
        assert caught.value.code is ErrorCode.INVALID_REQUEST
    pooling = folder / '1_Pooling' / 'config.json'
    before = pooling.read_text()
    try:
        pooling.write_text('{"pooling_mode_cls_token": true}')
        with pytest.raises(StreamError, match='does not take the mean'):
            SentenceEmbedder(folder)
    finally:
        pooling.write_text(before)
