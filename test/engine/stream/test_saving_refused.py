# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is not a whole file of this stream is refused with a sentence, and costs nothing."""

from __future__ import annotations

from collections.abc import Callable
import copy
import os
import pathlib
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file
from support.models.random_models import processor, random_model
from support.saving.streams import feed, refused, stream, told
import torch

from streamvlm_ros.engine import (
    ErrorCode,
    StreamError,
    StreamSettings,
    VideoStreamingInference,
)
from streamvlm_ros.engine.store.file import Entry, open_file, write_file
from streamvlm_ros.engine.store.place import open_place


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    engine = stream()
    feed(engine, 0, 9)
    path = tmp_path_factory.mktemp('whole') / 'a'
    engine.save(path)
    return path.read_bytes()


@pytest.fixture(scope='module')
def running() -> VideoStreamingInference:
    engine = stream()
    feed(engine, 0, 6, seed=2)
    return engine


def header_bytes(whole: bytes) -> int:
    return 8 + int.from_bytes(whole[:8], 'little')


@pytest.mark.parametrize('length', [0, 1, 7, 8, 9, 0.3, 0.999, 1.0, 'tensor', 'last'])
def test_truncated(
    length: float | str, whole: bytes, running: VideoStreamingInference, tmp_path: pathlib.Path
) -> None:
    """Cut in the length, in the header (parts of it), behind it, in the data, one byte short."""
    head = header_bytes(whole)
    named = {'tensor': head + (len(whole) - head) // 2, 'last': len(whole) - 1}
    cut = (
        named[length]
        if isinstance(length, str)
        else length
        if isinstance(length, int)
        else int(head * length)
    )
    (tmp_path / 'a').write_bytes(whole[:cut])
    refused(running, tmp_path / 'a', 'is damaged or no saved stream')


def test_every_byte_counts(
    whole: bytes, running: VideoStreamingInference, tmp_path: pathlib.Path
) -> None:
    """One flipped bit anywhere: in the length, the header, the keys, the checksums."""
    rng = np.random.default_rng(0)
    head = header_bytes(whole)
    places = [
        0,
        3,
        8,
        head - 1,
        head,
        len(whole) - 1,
        *rng.integers(8, head, 20),
        *rng.integers(head, len(whole), 20),
    ]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        (tmp_path / 'a').write_bytes(damaged)
        with pytest.raises(StreamError, match='is damaged or no saved stream'):
            running.load(tmp_path / 'a')
    (tmp_path / 'a').write_bytes(whole + b'\0')
    refused(running, tmp_path / 'a', 'is damaged or no saved stream')


def test_other_files(running: VideoStreamingInference, tmp_path: pathlib.Path) -> None:
    """Weights, text, a folder, nothing at all."""
    save_file({'keys.0': torch.zeros(2, 3)}, tmp_path / 'weights')
    refused(running, tmp_path / 'weights', r'not one that ~/save has written')
    (tmp_path / 'text').write_text('This is a text that goes on for some time.')
    refused(running, tmp_path / 'text', 'no safetensors header')
    refused(running, tmp_path, 'it is a folder, a device, a pipe or a link')
    os.mkfifo(tmp_path / 'pipe')  # to open it would wait for ever
    refused(running, tmp_path / 'pipe', 'it is a folder, a device, a pipe or a link')
    refused(running, tmp_path / 'none', r'cannot be read \(No such file or directory\)')


@pytest.mark.parametrize(
    ('other', 'sentence'),
    [
        (lambda: stream('one_kv_head'), 'its model.layers is 3 and not 2'),
        (lambda: stream(position_mode='append'), 'its position_mode is continuous and not append'),
        (lambda: stream(time_source='uniform'), 'its time_source is stamp and not uniform'),
        (lambda: stream(system_prompt='Be brief.'), 'its prompt is '),
        (lambda: stream(max_pixels=56 * 56), 'its pixels is '),
    ],
)
def test_of_another_model_or_other_settings(
    other: Callable[[], VideoStreamingInference],
    sentence: str,
    whole: bytes,
    tmp_path: pathlib.Path,
) -> None:
    engine = other()
    feed(engine, 0, 4, seed=2)
    (tmp_path / 'a').write_bytes(whole)
    refused(engine, tmp_path / 'a', sentence)


def test_of_other_weights(whole: bytes, tmp_path: pathlib.Path) -> None:
    """The same architecture after one more step of training."""
    (tmp_path / 'a').write_bytes(whole)
    model = copy.deepcopy(random_model('grouped'))
    with torch.no_grad():
        model.model.language_model.layers[1].mlp.up_proj.weight.mul_(1.001)
    engine = VideoStreamingInference(model, processor(), settings=StreamSettings(capacity=512))
    feed(engine, 0, 4)
    refused(engine, tmp_path / 'a', 'its model.weights is ')


def test_a_smaller_cache_is_told_what_it_needs(whole: bytes, tmp_path: pathlib.Path) -> None:
    (tmp_path / 'a').write_bytes(whole)
    engine = stream(capacity=60)
    feed(engine, 0, 2)
    tokens = stream().load(tmp_path / 'a').tokens
    refused(
        engine, tmp_path / 'a', f'set memory_tokens to {tokens} or more', ErrorCode.OUT_OF_MEMORY
    )
    assert stream(memory_tokens=tokens).load(tmp_path / 'a').tokens == tokens


Change = Callable[[dict, dict], None]


def _other_type(about: dict, tensors: dict) -> None:
    tensors['keys.1'] = tensors['keys.1'].half()


def _other_shape(about: dict, tensors: dict) -> None:
    tensors['values.2'] = tensors['values.2'][:, 1:]


def _layer_missing(about: dict, tensors: dict) -> None:
    del tensors['values.2']


def _slots_taken_twice(about: dict, tensors: dict) -> None:
    tensors['slots'][1, 1:] = tensors['slots'][0, 1] + torch.tensor([0, 6])


def _unknown_entry(about: dict, tensors: dict) -> None:
    tensors['slots'][0, 0] = 99


def _unit_of_nothing(about: dict, tensors: dict) -> None:
    row = tensors['units'][0].clone()
    row[:4] = torch.tensor([0, row[1] + row[0], 4, 0])  # a turn
    tensors['units'] = torch.cat([tensors['units'][:1], row[None], tensors['units'][1:]])
    tensors['slots'][1:, 0] += 1


def _other_length(about: dict, tensors: dict) -> None:
    about['state']['length'] += 1


def _pending_missing(about: dict, tensors: dict) -> None:
    del tensors['pending.0']


def _unknown_place(about: dict, tensors: dict) -> None:
    about['place'] = 'NOWHERE'


def _newer_version(about: dict, tensors: dict) -> None:
    about['version'] += 1


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (_other_type, 'keys.1 is torch.float16'),
        (_other_shape, 'values.2 is torch.float32'),
        (_layer_missing, 'its tensors are not those of a stream'),
        (_slots_taken_twice, 'slots are taken twice'),
        (_unknown_entry, 'its slots are not those of its entries'),
        (_unit_of_nothing, '0 tokens are in 0 slots'),
        (_other_length, 'positions is torch.int64'),
        (_pending_missing, 'a waiting frame is not an image'),
        (_unknown_place, 'its place in the prompt is not one that there is'),
        (_newer_version, 'it has version 4 and not 3; save the stream anew'),
    ],
)
def test_a_whole_file_that_does_not_fit_itself(
    change: Change,
    sentence: str,
    whole: bytes,
    running: VideoStreamingInference,
    tmp_path: pathlib.Path,
) -> None:
    """With right checksums: what another program, or another version of this one, has written."""
    (tmp_path / 'a').write_bytes(whole)
    with open_place(tmp_path / 'a') as place:
        with open_file(place) as file:
            about, tensors = file.about, file.tensors()
        change(about, tensors)
        write_file(place, about, {name: Entry.of(each) for name, each in tensors.items()})
    refused(running, tmp_path / 'a', f'is damaged or no saved stream: {sentence}')


def respelled(change: Callable[[object], None]) -> VideoStreamingInference:
    """Return a stream over the same weights, with the words of its configuration changed."""
    model = copy.deepcopy(random_model('grouped'))
    change(model.config)
    return VideoStreamingInference(model, processor(), settings=StreamSettings(capacity=512))


def _other_spelling(config: Any) -> None:
    """As other releases of transformers write it: more keys, other order, other types."""
    text = config.text_config
    text.rope_parameters = {
        'original_max_position_embeddings': 1,
        'type': 'mrope',
        'partial_rotary_factor': 1.0,
        **dict(reversed(text.rope_parameters.items())),
        'rope_theta': 1_000_000,
    }
    text.rope_scaling = text.rope_parameters
    config.torch_dtype = 'bfloat16'
    config.something_new = True


def test_the_same_weights_with_a_config_spelled_otherwise(
    whole: bytes, tmp_path: pathlib.Path
) -> None:
    (tmp_path / 'a').write_bytes(whole)
    engine = respelled(_other_spelling)
    other = stream()
    for each in (engine, other):
        each.load(tmp_path / 'a')
    assert told(engine) == told(other)


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (
            lambda model: model.model.language_model.rotary_emb.inv_freq.mul_(1.0001),
            'its model.rotation is',
        ),
        (
            lambda model: setattr(model.model.language_model.rotary_emb, 'attention_scaling', 1.1),
            'its model.rotation_scale is 1.0 and not 1.1',
        ),
        (
            lambda model: model.config.text_config.rope_parameters.update(mrope_section=[2, 3, 3]),
            'its model.rotation_sections is',
        ),
        (
            lambda model: setattr(model.config.vision_config, 'tokens_per_second', 4),
            'its model.tokens_per_second is 2.0 and not 4.0',
        ),
        (
            lambda model: setattr(
                model.model.language_model.layers[0].input_layernorm, 'variance_epsilon', 1e-3
            ),
            'its model.epsilon is',
        ),
        (
            lambda model: setattr(model.model.visual.blocks[0].attn, 'num_heads', 1),
            'its vision.heads is',
        ),
        (
            lambda model: model.model.visual.rotary_pos_emb.inv_freq.mul_(1.0001),
            'its vision.rotation is',
        ),
        (lambda model: setattr(model.model.visual, 'window_size', 28), 'its vision.window is'),
        (
            lambda model: setattr(model.model.visual, 'fullatt_block_indexes', []),
            'its vision.full_attention is',
        ),
    ],
)
def test_what_changes_answers_does_not_load(
    change: Callable[[object], None], sentence: str, whole: bytes, tmp_path: pathlib.Path
) -> None:
    """The values that the model works with, in a copy of it that is otherwise the same."""
    (tmp_path / 'a').write_bytes(whole)
    model = copy.deepcopy(random_model('grouped'))
    change(model)
    engine = VideoStreamingInference(model, processor(), settings=StreamSettings(capacity=512))
    feed(engine, 0, 4)
    refused(engine, tmp_path / 'a', sentence)
