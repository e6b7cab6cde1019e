# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the model folder with untrained weights: config, tokenizer, template, preprocessing."""

from __future__ import annotations

import argparse
import json
import pathlib
from typing import Any

from tokenizers import decoders, models, normalizers, pre_tokenizers, Regex, Tokenizer, trainers
import torch
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from streamvlm_ros.scenes.phrases import OUTSIDE, PHRASES
from streamvlm_ros.scenes.questions import REFUSAL
from streamvlm_ros.scenes.things import COLOURS, SHAPES

MAX_VOCABULARY = 1024
# The range of training: a minute of video is 120 positions in continuous mode.  The engine counts
# positions anew before they leave this range.
TRAINED_POSITIONS = 320
# Qwen3-VL writes times: a minute of 60 temporal patches is 60 times 4 positions and 8 of text.
TRAINED_POSITIONS3 = 1024
SPECIAL = (
    '<|endoftext|>',
    '<|im_start|>',
    '<|im_end|>',
    '<|vision_start|>',
    '<|vision_end|>',
    '<|vision_pad|>',
    '<|image_pad|>',
    '<|video_pad|>',
)
# As published with Qwen2 and Qwen2.5-VL.
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r'|\s*[\r\n]+|\s+(?!\S)|\s+'
)
TEMPLATE = (
    '{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}'
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}'
    "<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}<|im_end|>\n{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    '{% set image_count.value = image_count.value + 1 %}{% if add_vision_id %}'
    'Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>'
    "{% elif content['type'] == 'video' or 'video' in content %}"
    '{% set video_count.value = video_count.value + 1 %}{% if add_vision_id %}'
    'Video {{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>'
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    '{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'
)
# Widths and depths. `large` is for a GPU, `small` for a few minutes on a CPU; both are < 12 MB.
PRESETS: dict[str, dict[str, Any]] = {
    'large': {
        'hidden': 256,
        'layers': 8,
        'inner': 448,
        'section': [8, 12, 12],
        'vision_hidden': 128,
        'vision_depth': 4,
        'vision_inner': 320,
        'full': [1, 3],
        'vision_hidden3': 96,
        'inner3': 416,
        'deep': [1, 2],
    },
    'small': {
        'hidden': 128,
        'layers': 4,
        'inner': 320,
        'section': [4, 6, 6],
        'vision_hidden': 96,
        'vision_depth': 3,
        'vision_inner': 256,
        'full': [1, 2],
        'vision_hidden3': 96,
        'inner3': 320,
        'deep': [0, 1],
    },
}


def make_tokenizer() -> Tokenizer:
    """Train a byte-level BPE on the questions' words; any other text falls back to bytes."""
    names = [f'{c} {s}' for c in COLOURS for s in SHAPES]
    corpus = [
        p.format(x=names[i % 40], y=names[(i + 7) % 40])
        for i, p in enumerate(p for ps in PHRASES.values() for p in ps)
    ]
    corpus += [
        *OUTSIDE,
        REFUSAL,
        *names,
        *(f'the {n}, {n}.' for n in names),
        'system\nYou are a helpful assistant.',
        'user\n',
        'assistant\n',
        '\nAnswer with one of: before, after, left, middle, right, yes, no, not at all.',
        'before',
        'after',
        'left',
        'middle',
        'right',
        'yes',
        'no',
        'not at all',
        ' 0, 1, 2, 3, 4, 5.',
        *COLOURS,
        *SHAPES,
        *(f' {w}' for w in SHAPES),
    ]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), 'isolated'),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        corpus * 3,
        trainers.BpeTrainer(
            vocab_size=MAX_VOCABULARY - len(SPECIAL),
            show_progress=False,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        ),
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def make_config(preset: str, ids: dict[str, int], vocabulary: int) -> Qwen2_5_VLConfig:
    """Return the stock configuration in a preset's sizes."""
    p = PRESETS[preset]
    text = {
        'vocab_size': vocabulary,
        'hidden_size': p['hidden'],
        'intermediate_size': p['inner'],
        'num_hidden_layers': p['layers'],
        'num_attention_heads': 4,
        'num_key_value_heads': 2,
        'max_position_embeddings': TRAINED_POSITIONS,
        'rms_norm_eps': 1e-6,
        'tie_word_embeddings': True,
        'rope_parameters': {
            'rope_type': 'default',
            'rope_theta': 10000.0,
            'mrope_section': p['section'],
        },
        'bos_token_id': ids['<|endoftext|>'],
        'eos_token_id': ids['<|im_end|>'],
        'pad_token_id': ids['<|endoftext|>'],
    }
    vision = {
        'depth': p['vision_depth'],
        'hidden_size': p['vision_hidden'],
        'num_heads': 4,
        'intermediate_size': p['vision_inner'],
        'out_hidden_size': p['hidden'],
        'patch_size': 14,
        'spatial_merge_size': 2,
        'temporal_patch_size': 2,
        'window_size': 56,
        'fullatt_block_indexes': p['full'],
        'tokens_per_second': 2,
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=True,
        image_token_id=ids['<|image_pad|>'],
        video_token_id=ids['<|video_pad|>'],
        vision_start_token_id=ids['<|vision_start|>'],
        vision_end_token_id=ids['<|vision_end|>'],
    )


def make_config3(preset: str, ids: dict[str, int], vocabulary: int) -> Qwen3VLConfig:
    """Return the stock configuration of a Qwen3-VL in a preset's sizes."""
    p = PRESETS[preset]
    half = p['hidden'] // 8
    third = 5 * half // 16  # as 20 of 64 in the published ones
    return Qwen3VLConfig(
        text_config={
            'vocab_size': vocabulary,
            'hidden_size': p['hidden'],
            'intermediate_size': p['inner3'],
            'num_hidden_layers': p['layers'],
            'num_attention_heads': 4,
            'num_key_value_heads': 2,
            'head_dim': 2 * half,
            'max_position_embeddings': TRAINED_POSITIONS3,
            'rms_norm_eps': 1e-6,
            'tie_word_embeddings': True,
            'rope_parameters': {
                'rope_type': 'default',
                'rope_theta': 10000.0,
                'mrope_interleaved': True,
                'mrope_section': [half - 2 * third, third, third],
            },
            'bos_token_id': ids['<|endoftext|>'],
            'eos_token_id': ids['<|im_end|>'],
            'pad_token_id': ids['<|endoftext|>'],
        },
        vision_config={
            'depth': p['vision_depth'],
            'hidden_size': p['vision_hidden3'],
            'num_heads': 4,
            'intermediate_size': p['vision_inner'],
            'out_hidden_size': p['hidden'],
            'num_position_embeddings': 12**2,
            'deepstack_visual_indexes': p['deep'],
        },
        tie_word_embeddings=True,
        image_token_id=ids['<|image_pad|>'],
        video_token_id=ids['<|video_pad|>'],
        vision_start_token_id=ids['<|vision_start|>'],
        vision_end_token_id=ids['<|vision_end|>'],
    )


# By the model_type: what makes the configuration, and stock's class.
CONFIGS: dict[str, tuple[Any, Any]] = {
    'qwen2_5_vl': (make_config, Qwen2_5_VLForConditionalGeneration),
    'qwen3_vl': (make_config3, Qwen3VLForConditionalGeneration),
}
PIXELS: dict[str, tuple[str, dict[str, Any]]] = {
    'qwen2_5_vl': (
        'preprocessor_config.json',
        {
            'min_pixels': 10 * 28 * 28,
            'max_pixels': 16 * 28 * 28,
            'patch_size': 14,
            'temporal_patch_size': 2,
            'merge_size': 2,
            'image_mean': [0.48145466, 0.4578275, 0.40821073],
            'image_std': [0.26862954, 0.26130258, 0.27577711],
            'image_processor_type': 'Qwen2VLImageProcessor',
            'processor_class': 'Qwen2_5_VLProcessor',
        },
    ),
    'qwen3_vl': (
        'video_preprocessor_config.json',
        {
            # Of a video with one temporal patch: a stream's frame may have half as many.
            'size': {'shortest_edge': 4096, 'longest_edge': 2 * 16 * 32 * 32},
            'patch_size': 16,
            'temporal_patch_size': 2,
            'merge_size': 2,
            'image_mean': [0.5, 0.5, 0.5],
            'image_std': [0.5, 0.5, 0.5],
            'video_processor_type': 'Qwen3VLVideoProcessor',
            'processor_class': 'Qwen3VLProcessor',
        },
    ),
}


def _write(folder: pathlib.Path, name: str, content: dict[str, Any]) -> None:
    (folder / name).write_text(
        json.dumps(content, indent=2, ensure_ascii=False) + '\n', encoding='utf-8'
    )


def build(folder: pathlib.Path, preset: str, seed: int = 0, family: str = 'qwen2_5_vl') -> None:
    """
    Write a complete model folder with random weights.

    :param folder: Made when missing; files in it are replaced.
    :param preset: A key of `PRESETS`.
    :param family: A key of `CONFIGS`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    tokenizer.save(str(folder / 'tokenizer.json'))
    tokenizer.model.save(str(folder))
    vocabulary = tokenizer.get_vocab()
    ids = {token: vocabulary[token] for token in SPECIAL}
    _write(
        folder,
        'tokenizer_config.json',
        {
            'tokenizer_class': 'Qwen2Tokenizer',
            'add_prefix_space': False,
            'add_bos_token': False,
            'bos_token': None,
            'eos_token': '<|im_end|>',
            'pad_token': '<|endoftext|>',
            'unk_token': None,
            'errors': 'replace',
            'split_special_tokens': False,
            'clean_up_tokenization_spaces': False,
            'model_max_length': 32768,
            'additional_special_tokens': list(SPECIAL[1:]),
            'chat_template': TEMPLATE,
            'added_tokens_decoder': {
                str(i): {
                    'content': token,
                    'lstrip': False,
                    'normalized': False,
                    'rstrip': False,
                    'single_word': False,
                    'special': True,
                }
                for token, i in ids.items()
            },
        },
    )
    _write(folder, 'chat_template.json', {'chat_template': TEMPLATE})
    _write(folder, *PIXELS[family])
    torch.manual_seed(seed)
    configure, kind = CONFIGS[family]
    # A multiple of 64 suits matrix units.
    model = kind(configure(preset, ids, -(-tokenizer.get_vocab_size() // 64) * 64))
    model.generation_config.update(
        do_sample=False,
        eos_token_id=[ids['<|im_end|>'], ids['<|endoftext|>']],
        pad_token_id=ids['<|endoftext|>'],
        bos_token_id=ids['<|endoftext|>'],
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / 'model.safetensors').chmod(0o644)


def main() -> None:
    """Write the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=pathlib.Path, required=True)
    parser.add_argument('--family', choices=sorted(CONFIGS), default='qwen2_5_vl')
    parser.add_argument('--preset', choices=sorted(PRESETS), default='large')
    arguments = parser.parse_args()
    build(arguments.out, arguments.preset, family=arguments.family)


if __name__ == '__main__':
    main()
