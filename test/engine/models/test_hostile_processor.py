# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A tokenizer or preprocessor that is damaged, missing or another model's: the error says so."""

from __future__ import annotations

import json

import pytest
from support.models.hostile_folder import change, load

from streamvlm_ros.engine import (
    load_processor,
)


@pytest.mark.parametrize(
    'name',
    ['preprocessor_config.json', 'chat_template.jinja', 'additional_chat_templates/other.jinja'],
)
def test_a_file_without_an_end(folder, name):
    """What is read has a bound, also where transformers reads it; the rest is not."""
    (folder / name).parent.mkdir(exist_ok=True)
    with open(folder / name, 'wb') as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(ValueError, match=rf'{name} is larger than'):
        load_processor(folder)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('patch_size', 0),
        ('patch_size', -14),
        ('patch_size', '14'),
        ('patch_size', 14.5),
        ('patch_size', 28),
        ('merge_size', 10**9),
        ('temporal_patch_size', True),
        ('min_pixels', 10**15),
        ('max_pixels', 10**15),
        ('min_pixels', 12545),
        ('max_pixels', 0),
        ('image_mean', [0.5, 0.5]),
        ('image_std', [0.5, 0.5, 0]),
        ('image_std', [1, 1, 'nan']),
        ('image_mean', [float('nan'), 0, 0]),
        ('image_mean', 0.5),
    ],
)
def test_numbers_of_a_preprocessor(folder, key, value):
    """Each is bounded, of the right kind, and that of the model."""
    change(folder, 'preprocessor_config.json', lambda content: content.update({key: value}))
    with pytest.raises(ValueError, match='preprocessor') as caught:
        load(folder)
    assert key in str(caught.value)


def test_a_tokenizer_of_another_model(folder):
    """Ids that the model does not have would fail at the first question."""
    change(
        folder,
        'tokenizer_config.json',
        lambda content: content['added_tokens_decoder'].update(
            {
                str(660 + i): {
                    **content['added_tokens_decoder']['659'],
                    'content': f'<|more {i}|>',
                }
                for i in range(50)
            }
        ),
    )
    with pytest.raises(ValueError, match='has 710 tokens and the model 704'):
        load(folder)


def test_no_tokenizer(folder):
    """transformers makes an empty one up."""
    for name in ('tokenizer.json', 'vocab.json'):
        (folder / name).unlink()
    with pytest.raises(ValueError, match=r'has no tokenizer: it needs tokenizer\.json, or vocab'):
        load(folder)


@pytest.mark.parametrize('name', ['config.json', 'tokenizer.json', 'preprocessor_config.json'])
@pytest.mark.parametrize(
    ('content', 'sentence'),
    [
        (b'', 'is empty; fetch it again'),
        (
            b'version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 7\n',
            'run git lfs pull',
        ),
        (b'<!DOCTYPE html><html>404</html>', 'is a web page'),
    ],
)
def test_what_stands_in_the_place_of_a_file(folder, name, content, sentence):
    """The sentence names the file and says what to do."""
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf'model/{name} .*{sentence}'):
        load_processor(folder)


@pytest.mark.parametrize('kind', ['sections', 'size.min_pixels', 'size.shortest_edge'])
def test_every_spelling_of_the_pixel_bounds(folder, kind):
    """As releases of transformers save them; the defaults are nobody's training."""
    file = folder / 'preprocessor_config.json'
    content = json.loads(file.read_text())
    low, high = content.pop('min_pixels'), content.pop('max_pixels')
    edges = {**content, 'size': {'shortest_edge': low, 'longest_edge': high}}
    if kind == 'sections':
        file.unlink()
        (folder / 'processor_config.json').write_text(
            json.dumps({'image_processor': edges, 'video_processor': edges})
        )
    elif kind == 'size.min_pixels':
        file.write_text(json.dumps({**content, 'size': {'min_pixels': low, 'max_pixels': high}}))
    else:
        file.write_text(json.dumps(edges))
    pixels = load_processor(folder).pixels
    assert (pixels.min_pixels, pixels.max_pixels) == (low, high)


@pytest.mark.parametrize('content', [None, '{}', '{"bos_token": "x"}'])
def test_no_pixel_bounds(folder, content):
    """A missing file, or another one in its place, is not taken for the defaults."""
    (folder / 'preprocessor_config.json').unlink()
    if content is not None:
        (folder / 'preprocessor_config.json').write_text(content)
    with pytest.raises(ValueError, match='has no pixel bounds'):
        load_processor(folder)


def test_a_size_that_is_not_an_object(folder):
    """It is named."""
    change(folder, 'preprocessor_config.json', lambda content: content.update(size=7))
    with pytest.raises(ValueError, match=r'preprocessor_config\.json: size is 7'):
        load_processor(folder)
