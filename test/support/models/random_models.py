# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random Qwen2.5-VL models and a byte tokenizer, for tests of exactness."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from tokenizers import decoders, models, pre_tokenizers, Tokenizer
import torch
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig

from streamvlm_ros.engine import StreamQwenModel
from streamvlm_ros.engine.models.processor import StreamProcessor
from streamvlm_ros.engine.models.qwen2_5_vl.model import QWEN2_5_VL

CONTROL = (
    '<|endoftext|>',
    '<|im_start|>',
    '<|im_end|>',
    '<|vision_start|>',
    '<|vision_end|>',
    '<|vision_pad|>',
    '<|image_pad|>',
    '<|video_pad|>',
)
CONTROL_ID = {token: 256 + i for i, token in enumerate(CONTROL)}
VOCABULARY = 256 + len(CONTROL)
PIXELS = dataclasses.replace(QWEN2_5_VL.pixels, min_pixels=56 * 56, max_pixels=6 * 28 * 28)
# Qwen2.5-VL's template, as far as one user turn after another with video and text goes.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}'
    "<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}"
    '<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'
)
# The same with fewer letters: each is a token, and a row that is interpreted.
BRIEF_TEMPLATE = (
    CHAT_TEMPLATE.replace('system\nYou are a helpful assistant.', 's\n')
    .replace("{{ message['role'] }}", "{{ message['role'][0] }}")
    .replace('assistant\n', 'a\n')
)
# Head counts, window sizes and full-attention layers differ.
SHAPES = {
    'grouped': dict(
        hidden=64,
        layers=3,
        heads=4,
        kv_heads=2,
        vit_depth=3,
        vit_heads=2,
        window=112,
        full=[1],
        tokens_per_second=2,
    ),
    'one_kv_head': dict(
        hidden=96,
        layers=2,
        heads=6,
        kv_heads=1,
        vit_depth=2,
        vit_heads=4,
        window=56,
        full=[],
        tokens_per_second=4,
    ),
    'ungrouped': dict(
        hidden=64,
        layers=2,
        heads=2,
        kv_heads=2,
        vit_depth=4,
        vit_heads=2,
        window=84,
        full=[0, 3],
        tokens_per_second=25,
    ),
}
# Kept apart, so that what tests draw from SHAPES stays as it is.
STRETCHED = {
    kind: SHAPES['grouped'] | dict(rope={'rope_type': kind, 'factor': 4.0, **more})
    for kind, more in (
        ('yarn', {'original_max_position_embeddings': 64}),
        ('linear', {}),
        (
            'llama3',
            {
                'original_max_position_embeddings': 64,
                'low_freq_factor': 1.0,
                'high_freq_factor': 4.0,
            },
        ),
        ('proportional', {'partial_rotary_factor': 0.5}),
    )
}


def config(
    hidden: int,
    layers: int,
    heads: int,
    kv_heads: int,
    vit_depth: int,
    vit_heads: int,
    window: int,
    full: list[int],
    tokens_per_second: int,
    rope: dict | None = None,
) -> Qwen2_5_VLConfig:
    """Return a small stock configuration."""
    half = hidden // heads // 2
    section = [half - 2 * (half // 3), half // 3, half // 3]
    return Qwen2_5_VLConfig(
        text_config=dict(
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            intermediate_size=2 * hidden,
            vocab_size=VOCABULARY,
            max_position_embeddings=32768,
            rope_theta=1e6,
            tie_word_embeddings=False,
            rope_scaling={
                'type': 'mrope',
                'mrope_section': section,
                'rope_type': 'default',
                **(rope or {}),
            },
        ),
        vision_config=dict(
            depth=vit_depth,
            hidden_size=16 * vit_heads,
            num_heads=vit_heads,
            intermediate_size=48,
            out_hidden_size=hidden,
            fullatt_block_indexes=full,
            window_size=window,
            tokens_per_second=tokens_per_second,
        ),
        image_token_id=CONTROL_ID['<|image_pad|>'],
        video_token_id=CONTROL_ID['<|video_pad|>'],
        vision_start_token_id=CONTROL_ID['<|vision_start|>'],
        vision_end_token_id=CONTROL_ID['<|vision_end|>'],
        tie_word_embeddings=False,
    )


@functools.cache
def random_model(shape: str) -> StreamQwenModel:
    """Return a random float32 model whose logits depend strongly on what it saw."""
    shapes: dict[str, dict[str, Any]] = SHAPES | STRETCHED
    torch.manual_seed(list(shapes).index(shape))
    model = StreamQwenModel(config(**shapes[shape])).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                # Transformers' own 0.02 makes every small random model say the same thing.
                parameter.normal_(std=1.2 * parameter[0].numel() ** -0.5)
        if shape in STRETCHED:
            # An answer of pads would be another video for the reference.
            model.lm_head.weight[CONTROL_ID['<|video_pad|>']] = 0.0
    model.generation_config.eos_token_id = CONTROL_ID['<|im_end|>']
    return model


@functools.cache
def processor(template: str = CHAT_TEMPLATE) -> StreamProcessor:
    """Return a byte tokenizer with Qwen's control tokens, and its settings."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    tokenizer.add_special_tokens({'additional_special_tokens': list(CONTROL)})
    assert tokenizer.convert_tokens_to_ids('<|video_pad|>') == CONTROL_ID['<|video_pad|>']
    return StreamProcessor(tokenizer, template, PIXELS)


def random_clip(seed: int, frames: int, height: int, width: int) -> list[np.ndarray]:
    """Return random blocky RGB frames."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (frames, 4, 4, 3), dtype=np.uint8)
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
    return [image[rows][:, columns] for image in small]
