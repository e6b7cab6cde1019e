# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Write a model folder with random weights of published dimensions, in the published layout.

    python -m benchmark.exactness.random_folder 7B /tmp/random7b --device cuda
    streamvlm verify /tmp/random7b --json

Sharded safetensors in bfloat16 with the published names, and the tokenizer of `tiny`, whose ids
are the first of the vocabulary. With --awq the decoder's matrices are in 4 bits, as AWQ publishes
them, and all else in float16.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil
from typing import Any

from safetensors.torch import save_file
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from benchmark.common.dimensions import TEXT, TOY_VISION, VISION
from streamvlm_ros.engine import load_processor, resolve_model

SHARD = 4 << 30  # bytes
COPIED = (
    'chat_template.json',
    'merges.txt',
    'tokenizer.json',
    'tokenizer_config.json',
    'vocab.json',
)
# As published with Qwen2.5-VL.
GENERATION = {'do_sample': True, 'repetition_penalty': 1.05, 'temperature': 0.000001}
GROUP = 128  # values of a row that share a scale and a zero point
AWQ = {
    'quant_method': 'awq',
    'bits': 4,
    'group_size': GROUP,
    'modules_to_not_convert': ['visual'],
    'version': 'gemm',
    'zero_point': True,
}
PREPROCESSOR = {
    'min_pixels': 3136,
    'max_pixels': 12845056,
    'patch_size': 14,
    'temporal_patch_size': 2,
    'merge_size': 2,
    'image_mean': [0.48145466, 0.4578275, 0.40821073],
    'image_std': [0.26862954, 0.26130258, 0.27577711],
    'image_processor_type': 'Qwen2VLImageProcessor',
    'processor_class': 'Qwen2_5_VLProcessor',
}


def config_of(name: str) -> dict[str, Any]:
    """Return the config.json, flat, as the checkpoints of transformers 4.4x have it."""
    text, ids = TEXT[name], load_processor(resolve_model('tiny')).tokenizer.convert_tokens_to_ids
    vision = TOY_VISION if name == 'toy' else VISION
    return {
        'architectures': ['Qwen2_5_VLForConditionalGeneration'],
        'model_type': 'qwen2_5_vl',
        'torch_dtype': 'bfloat16',
        'hidden_act': 'silu',
        'max_position_embeddings': 128000,
        'rms_norm_eps': 1e-6,
        'rope_theta': 1e6,
        'rope_scaling': {'type': 'mrope', 'mrope_section': [16, 24, 24]},
        'use_sliding_window': False,
        'bos_token_id': ids('<|endoftext|>'),
        'eos_token_id': ids('<|im_end|>'),
        'image_token_id': ids('<|image_pad|>'),
        'video_token_id': ids('<|video_pad|>'),
        'vision_start_token_id': ids('<|vision_start|>'),
        'vision_end_token_id': ids('<|vision_end|>'),
        **text,
        'vision_config': {
            **vision,
            'hidden_act': 'silu',
            'in_chans': 3,
            'out_hidden_size': text['hidden_size'],
            'patch_size': 14,
            'spatial_merge_size': 2,
            'spatial_patch_size': 14,
            'temporal_patch_size': 2,
        },
    }


def shapes_of(config: dict[str, Any]) -> dict[str, torch.Size]:
    """Return the shape of every tensor by its published name."""
    with torch.device('meta'):
        model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig.from_dict(dict(config)))
    shapes = {}
    for name, weights in model.state_dict().items():
        if name == 'lm_head.weight' and config['tie_word_embeddings']:
            continue
        published = name.replace('model.visual.', 'visual.', 1)
        shapes[published.replace('model.language_model.', 'model.', 1)] = weights.shape
    return shapes


def random_weights(name: str, shape: torch.Size, device: str) -> torch.Tensor:
    """Return bfloat16 weights with which what goes through a matrix keeps its size."""
    if name.endswith('norm.weight') or 'norm1' in name or 'norm2' in name or 'ln_q' in name:
        return torch.ones(shape, dtype=torch.bfloat16)
    made = torch.randn(shape, device=device)
    made *= 0.02 if len(shape) == 1 else float(shape[1:].numel()) ** -0.5
    return made.to('cpu', torch.bfloat16)


def random_awq(shape: torch.Size, device: str) -> dict[str, torch.Tensor]:
    """Return a matrix [columns, depth] in 4 bits; what goes through it keeps its size."""
    columns, depth = shape
    groups = depth // GROUP

    def integers(rows: int) -> torch.Tensor:
        return torch.randint(
            -(1 << 31), 1 << 31, (rows, columns // 8), dtype=torch.int32, device=device
        )

    # The difference of two of sixteen numbers deviates by 6.5.
    scales = (0.8 + 0.4 * torch.rand(groups, columns, device=device)) * (depth**-0.5 / 6.5)
    made = {'qweight': integers(depth), 'qzeros': integers(groups), 'scales': scales.half()}
    return {kind: each.cpu() for kind, each in made.items()}


def main() -> None:
    """Write the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('name', choices=sorted(TEXT))
    parser.add_argument('folder', type=pathlib.Path)
    parser.add_argument('--awq', action='store_true', help='matrices in 4 bits')
    parser.add_argument('--device', default='cpu', help='where random numbers are drawn')
    arguments = parser.parse_args()
    folder: pathlib.Path = arguments.folder
    folder.mkdir(parents=True)
    tiny, config = pathlib.Path(resolve_model('tiny')), config_of(arguments.name)
    for each in COPIED:
        shutil.copy(tiny / each, folder / each)
    ends = {
        'eos_token_id': [config['eos_token_id'], config['bos_token_id']],
        'pad_token_id': config['bos_token_id'],
    }
    if arguments.awq:
        config |= {'torch_dtype': 'float16', 'quantization_config': AWQ}
    files: dict[str, dict[str, Any]] = {
        'config.json': config,
        'generation_config.json': {**GENERATION, **ends},
        'preprocessor_config.json': PREPROCESSOR,
    }
    for each, values in files.items():
        (folder / each).write_text(json.dumps(values, indent=2))
    torch.manual_seed(0)
    shard: dict[str, torch.Tensor] = {}
    shards: list[list[str]] = []
    shapes, total = shapes_of(config_of(arguments.name)), 0
    for number, (name, shape) in enumerate(shapes.items(), start=1):
        stem, _, kind = name.rpartition('.')
        if arguments.awq and kind == 'weight' and stem.endswith('proj') and 'visual' not in name:
            made = random_awq(shape, arguments.device)
            shard |= {f'{stem}.{end}': each for end, each in made.items()}
        else:
            made_whole = random_weights(name, shape, arguments.device)
            shard[name] = made_whole.half() if arguments.awq else made_whole
        if number == len(shapes) or sum(each.nbytes for each in shard.values()) > SHARD:
            total += sum(each.nbytes for each in shard.values())
            save_file(shard, folder / f'part{len(shards)}.safetensors', {'format': 'pt'})
            shards.append(list(shard))
            shard = {}
    index: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file = f'model-{number:05}-of-{len(shards):05}.safetensors'
        (folder / f'part{number - 1}.safetensors').rename(folder / file)
        index |= dict.fromkeys(names, file)
    (folder / 'model.safetensors.index.json').write_text(
        json.dumps({'metadata': {'total_size': total}, 'weight_map': index})
    )


if __name__ == '__main__':
    main()
