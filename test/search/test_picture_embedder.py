# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SigLIP and CLIP folders, with random weights of small size, in the published layout."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
from tokenizers import models, pre_tokenizers, processors, Tokenizer
import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
)

from streamvlm_ros.errors import ErrorCode, StreamError
from streamvlm_ros.search.picture_embedder import PictureEmbedder

WORDS = ['<pad>', '</s>', '<unk>', 'a', 'red', 'blue', 'ball', 'cross']
SIZE = {'hidden_size': 32, 'intermediate_size': 48, 'num_hidden_layers': 2}
SIZE |= {'num_attention_heads': 2}
TEXT = SIZE | {'vocab_size': 64, 'max_position_embeddings': 16}
TEXT |= {'bos_token_id': 1, 'eos_token_id': 1, 'pad_token_id': 0}
VISION = SIZE | {'image_size': 32, 'patch_size': 8}


@pytest.fixture(scope='module', params=['siglip', 'clip'])
def folder(request, tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    if request.param == 'siglip':
        model = SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION))
        name = 'Siglip'
    else:
        model = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=24))
        name = 'CLIP'
    model.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token='<unk>'))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    # CLIP's vector is that of the token which ends the text.
    words.post_processor = processors.TemplateProcessing(
        single='$A </s>', special_tokens=[('</s>', 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token='<pad>', eos_token='</s>', unk_token='<unk>'
    ).save_pretrained(folder)
    settings = {
        'image_processor_type': f'{name}ImageProcessor',
        'processor_class': f'{name}Processor',
        'do_resize': True,
        'size': {'height': 32, 'width': 32},
        'resample': 3,
        'do_center_crop': False,
        'do_rescale': True,
        'rescale_factor': 1 / 255,
        'do_normalize': True,
        'image_mean': [0.5] * 3,
        'image_std': [0.5] * 3,
    }
    (folder / 'preprocessor_config.json').write_text(json.dumps(settings))
    return folder


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (20, 30, 3), dtype=np.uint8)


def test_vectors_are_those_of_the_model(folder):
    embedder = PictureEmbedder(folder)
    frames = [picture(1), picture(2)]
    vector = embedder.pictures(frames)
    assert vector.shape == (embedder.dimensions,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
    each = [embedder.pictures([frame]) for frame in frames]
    mean = sum(each) / np.linalg.norm(sum(each))
    assert np.allclose(vector, mean, atol=1e-5)
    assert not np.allclose(each[0], each[1], atol=1e-3)
    asked = embedder.question('a red ball')
    assert asked.shape == vector.shape
    assert np.allclose(embedder.question(' a red ball '), asked)
    assert not np.allclose(embedder.question('a blue cross'), asked, atol=1e-4)
    assert PictureEmbedder(folder).fingerprint == embedder.fingerprint


def test_a_question_longer_than_the_model_reads_is_cut(folder):
    assert np.isfinite(PictureEmbedder(folder).question('a red ball ' * 40)).all()


def test_what_is_no_picture_or_question_is_refused(folder):
    embedder = PictureEmbedder(folder)
    for call in (
        lambda: embedder.pictures([]),
        lambda: embedder.pictures([np.zeros((4, 4), np.uint8)]),
        lambda: embedder.question(''),
        lambda: embedder.question(3),
    ):
        with pytest.raises(StreamError) as caught:
            call()
        assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_another_model_is_refused(tmp_path):
    with pytest.raises(StreamError, match='cannot be loaded'):
        PictureEmbedder(tmp_path)
    (tmp_path / 'config.json').write_text('{"model_type": "bert"}')
    with pytest.raises(StreamError, match="of the kind 'bert'; choose a model of one of clip"):
        PictureEmbedder(tmp_path)
