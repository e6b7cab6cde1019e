# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random Qwen3-VL models, with the byte tokenizer of the first family's, for tests."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from typing import Any

from support.models import random_models
from support.models.random_models import CHAT_TEMPLATE, CONTROL_ID, VOCABULARY
import torch
from transformers import Qwen3VLConfig

from streamvlm_ros.engine.models.processor import StreamProcessor
from streamvlm_ros.engine.models.qwen3_vl.model import QWEN3_VL, StreamQwen3Model

PIXELS = dataclasses.replace(QWEN3_VL.pixels, max_pixels=6 * 32 * 32)
# Widths of heads are not the hidden size's share, as in the 4B. Tables of positions are smaller
# and larger than the grids; features come from no block, from some, and from all.
SHAPES: dict[str, dict[str, Any]] = {
    'grouped': dict(
        hidden=64, layers=3, heads=4, kv_heads=2, head=32, vit_depth=4, vit_heads=2, deep=[0, 2]
    ),
    'one_kv_head': dict(
        hidden=96, layers=4, heads=6, kv_heads=1, head=16, vit_depth=3, vit_heads=4, deep=[0, 1, 2]
    ),
    'no_side_outputs': dict(
        hidden=64, layers=2, heads=2, kv_heads=2, head=24, vit_depth=2, vit_heads=3, deep=[]
    ),
}
TABLES = {'grouped': 5, 'one_kv_head': 12, 'no_side_outputs': 3}  # rows of the table


def config(
    hidden: int,
    layers: int,
    heads: int,
    kv_heads: int,
    head: int,
    vit_depth: int,
    vit_heads: int,
    deep: list[int],
    table: int = 5,
    tied: bool = False,
) -> Qwen3VLConfig:
    """Return a small stock configuration, as published ones are written."""
    half = head // 2
    third = 5 * half // 16  # as 20 of 64
    return Qwen3VLConfig(
        text_config=dict(
            model_type='qwen3_vl_text',
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            head_dim=head,
            intermediate_size=2 * hidden,
            vocab_size=VOCABULARY,
            max_position_embeddings=32768,
            rope_theta=5e6,
            tie_word_embeddings=tied,
            rope_scaling={
                'mrope_interleaved': True,
                'mrope_section': [half - 2 * third, third, third],
                'rope_type': 'default',
            },
        ),
        vision_config=dict(
            model_type='qwen3_vl',
            depth=vit_depth,
            hidden_size=16 * vit_heads,
            num_heads=vit_heads,
            intermediate_size=48,
            out_hidden_size=hidden,
            num_position_embeddings=table**2,
            deepstack_visual_indexes=deep,
            patch_size=16,
            spatial_merge_size=2,
            temporal_patch_size=2,
        ),
        image_token_id=CONTROL_ID['<|image_pad|>'],
        video_token_id=CONTROL_ID['<|video_pad|>'],
        vision_start_token_id=CONTROL_ID['<|vision_start|>'],
        vision_end_token_id=CONTROL_ID['<|vision_end|>'],
        tie_word_embeddings=tied,
    )


def shape_config(shape: str, tied: bool = False) -> Qwen3VLConfig:
    """Return the configuration of one of ``SHAPES``."""
    return config(**SHAPES[shape], table=TABLES[shape], tied=tied)


@functools.cache
def random_model(shape: str) -> StreamQwen3Model:
    """Return a random float32 model whose logits depend strongly on what it saw."""
    torch.manual_seed(list(SHAPES).index(shape))
    model = StreamQwen3Model(shape_config(shape)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                # Transformers' own 0.02 makes every small random model say the same thing.
                parameter.normal_(std=1.2 * parameter[0].numel() ** -0.5)
            elif 'norm' in name and 'weight' in name:
                parameter.uniform_(0.5, 1.5)
            elif 'bias' in name:
                parameter.normal_(std=0.1)
        # An answer of pads would be another video for the reference.
        model.lm_head.weight[CONTROL_ID['<|video_pad|>']] = 0.0
    model.generation_config.eos_token_id = CONTROL_ID['<|im_end|>']
    return model


@functools.cache
def processor(template: str = CHAT_TEMPLATE) -> StreamProcessor:
    """Return a byte tokenizer with Qwen's control tokens, and its settings."""
    return dataclasses.replace(random_models.processor(template), pixels=PIXELS)


def write_folder(folder: pathlib.Path, shape: str = 'grouped') -> pathlib.Path:
    """Write a random model with its tokenizer and settings as they are published."""
    random_model(shape).save_pretrained(folder)
    processor().tokenizer.save_pretrained(folder)
    (folder / 'chat_template.jinja').write_text(CHAT_TEMPLATE)
    size = {'longest_edge': 2 * PIXELS.max_pixels, 'shortest_edge': 4096}
    settings = {
        'size': size,
        'patch_size': 16,
        'merge_size': 2,
        'temporal_patch_size': 2,
        'image_mean': [0.5, 0.5, 0.5],
        'image_std': [0.5, 0.5, 0.5],
        'video_processor_type': 'Qwen3VLVideoProcessor',
    }
    (folder / 'video_preprocessor_config.json').write_text(json.dumps(settings))
    image = {**settings, 'size': {'longest_edge': 16777216, 'shortest_edge': 65536}}
    image['image_processor_type'] = 'Qwen2VLImageProcessorFast'
    del image['video_processor_type']
    (folder / 'preprocessor_config.json').write_text(json.dumps(image))
    return folder
