# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Randomly initialised models of the published dimensions, to measure speed without weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import contextlib
import dataclasses
from typing import Any

import torch
from transformers import Qwen2_5_VLConfig, Qwen3VLConfig

from streamvlm_ros.engine import load_processor, resolve_model, StreamQwenModel
from streamvlm_ros.engine.models.processor import StreamProcessor
from streamvlm_ros.engine.models.qwen3_vl.model import QWEN3_VL, StreamQwen3Model

# As published in the config.json of Qwen/Qwen2.5-VL-3B-Instruct and -7B-Instruct; toy is for CPUs.
TEXT: dict[str, dict[str, Any]] = {
    '3B': {
        'hidden_size': 2048,
        'num_hidden_layers': 36,
        'num_attention_heads': 16,
        'num_key_value_heads': 2,
        'intermediate_size': 11008,
        'vocab_size': 151936,
        'tie_word_embeddings': True,
    },
    '7B': {
        'hidden_size': 3584,
        'num_hidden_layers': 28,
        'num_attention_heads': 28,
        'num_key_value_heads': 4,
        'intermediate_size': 18944,
        'vocab_size': 152064,
        'tie_word_embeddings': False,
    },
    'toy': {
        'hidden_size': 256,
        'num_hidden_layers': 2,
        'num_attention_heads': 2,
        'num_key_value_heads': 1,
        'intermediate_size': 512,
        'vocab_size': 1024,
        'tie_word_embeddings': True,
    },
}
VISION: dict[str, Any] = {
    'depth': 32,
    'hidden_size': 1280,
    'num_heads': 16,
    'intermediate_size': 3420,
    'fullatt_block_indexes': [7, 15, 23, 31],
    'window_size': 112,
    'tokens_per_second': 2,
}
TOY_VISION = VISION | {
    'depth': 2,
    'hidden_size': 160,
    'num_heads': 2,
    'intermediate_size': 320,
    'fullatt_block_indexes': [1],
}
# As published in the config.json of Qwen/Qwen3-VL-2B-, -4B- and -8B-Instruct.
SMALL_VISION3: dict[str, Any] = {
    'depth': 24,
    'hidden_size': 1024,
    'num_heads': 16,
    'intermediate_size': 4096,
    'deepstack_visual_indexes': [5, 11, 17],
}
LARGE_VISION3 = SMALL_VISION3 | {
    'depth': 27,
    'hidden_size': 1152,
    'intermediate_size': 4304,
    'deepstack_visual_indexes': [8, 16, 24],
}
_TEXT3: dict[str, Any] = {'num_key_value_heads': 8, 'head_dim': 128, 'vocab_size': 151936}
QWEN3: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    'Qwen3-2B': (
        _TEXT3
        | {
            'hidden_size': 2048,
            'num_hidden_layers': 28,
            'num_attention_heads': 16,
            'intermediate_size': 6144,
            'tie_word_embeddings': True,
        },
        SMALL_VISION3,
    ),
    'Qwen3-4B': (
        _TEXT3
        | {
            'hidden_size': 2560,
            'num_hidden_layers': 36,
            'num_attention_heads': 32,
            'intermediate_size': 9728,
            'tie_word_embeddings': True,
        },
        SMALL_VISION3,
    ),
    'Qwen3-8B': (
        _TEXT3
        | {
            'hidden_size': 4096,
            'num_hidden_layers': 36,
            'num_attention_heads': 32,
            'intermediate_size': 12288,
            'tie_word_embeddings': False,
        },
        LARGE_VISION3,
    ),
    'Qwen3-toy': (
        TEXT['toy'] | {'head_dim': 64},
        SMALL_VISION3
        | {
            'depth': 3,
            'hidden_size': 128,
            'num_heads': 2,
            'intermediate_size': 256,
            'deepstack_visual_indexes': [0, 1],
        },
    ),
}
NAMES = [*TEXT, *QWEN3]


def build(name: str, device: str, dtype: torch.dtype) -> tuple[Any, StreamProcessor]:
    """Return a random model of some dimensions on a device, and a processor; see `build_model`."""
    if name in QWEN3:
        return build_qwen3(*QWEN3[name], device, dtype)
    return build_model(TEXT[name], TOY_VISION if name == 'toy' else VISION, device, dtype)


def build_qwen3(
    text: Mapping[str, Any], vision: Mapping[str, Any], device: str, dtype: torch.dtype
) -> tuple[StreamQwen3Model, StreamProcessor]:
    """Return a random Qwen3-VL; see `build_model`."""
    processor = dataclasses.replace(load_processor(resolve_model('tiny')), pixels=QWEN3_VL.pixels)
    ids = processor.tokenizer.convert_tokens_to_ids
    half = text['head_dim'] // 2
    third = 5 * half // 16
    config = Qwen3VLConfig(
        text_config={
            **text,
            'max_position_embeddings': 262144,
            'rms_norm_eps': 1e-6,
            'rope_parameters': {
                'rope_type': 'default',
                'rope_theta': 5e6,
                'mrope_interleaved': True,
                'mrope_section': [half - 2 * third, third, third],
            },
        },
        vision_config={**vision, 'out_hidden_size': text['hidden_size']},
        image_token_id=ids('<|image_pad|>'),
        video_token_id=ids('<|video_pad|>'),
        vision_start_token_id=ids('<|vision_start|>'),
        vision_end_token_id=ids('<|vision_end|>'),
        tie_word_embeddings=text['tie_word_embeddings'],
    )
    with torch.device(device), _default(dtype):
        torch.manual_seed(0)
        model = StreamQwen3Model(config).eval()
    with torch.no_grad():
        model.lm_head.weight[[ids('<|im_end|>'), ids('<|endoftext|>')]] = 0.0
    return model, processor


@contextlib.contextmanager
def _default(dtype: torch.dtype) -> Iterator[None]:
    """Make modules with such weights inside."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def build_model(
    text: Mapping[str, Any], vision: Mapping[str, Any], device: str, dtype: torch.dtype
) -> tuple[StreamQwenModel, StreamProcessor]:
    """
    Return a random model on a device, and a processor whose ids it knows.

    No answer of it ends before its limit: the tokens that end one have logits of 0.
    """
    processor = load_processor(resolve_model('tiny'))
    ids = processor.tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={
            **text,
            'max_position_embeddings': 128000,
            'rms_norm_eps': 1e-6,
            'rope_parameters': {
                'rope_type': 'default',
                'rope_theta': 1e6,
                'mrope_section': [16, 24, 24],
            },
        },
        vision_config={**vision, 'out_hidden_size': text['hidden_size']},
        image_token_id=ids('<|image_pad|>'),
        video_token_id=ids('<|video_pad|>'),
        vision_start_token_id=ids('<|vision_start|>'),
        vision_end_token_id=ids('<|vision_end|>'),
        tie_word_embeddings=text['tie_word_embeddings'],
    )
    torch.manual_seed(0)
    with torch.device(device), _default(dtype):
        model = StreamQwenModel(config).eval()
    with torch.no_grad():
        model.lm_head.weight[[ids('<|im_end|>'), ids('<|endoftext|>')]] = 0.0
    return model, processor
