# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A tokenizer or preprocessor that is damaged, missing or another model's: the error says so."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from support.models.hostile_folder import change, load

from streamvlm_ros.engine import (
    load_processor,
)


@pytest.mark.parametrize(
    'name',
    ['preprocessor_config.json', 'chat_template.jinja', 'additional_chat_templates/other.jinja'],
)
def test_a_file_without_an_end(folder: pathlib.Path, name: str) -> None:
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
def test_numbers_of_a_preprocessor(folder: pathlib.Path, key: str, value: Any) -> None:
    """Each is bounded, of the right kind, and that of the model."""
    change(folder, 'preprocessor_config.json', lambda content: content.update({key: value}))
    with pytest.raises(ValueError, match='preprocessor') as caught:
        load(folder)
    assert key in str(caught.value)


def test_a_tokenizer_of_another_model(folder: pathlib.Path) -> None:
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


def test_no_tokenizer(folder: pathlib.Path) -> None:
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
def test_what_stands_in_the_place_of_a_file(
    folder: pathlib.Path, name: str, content: bytes, sentence: str
) -> None:
    """The sentence names the file and says what to do."""
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf'model/{name} .*{sentence}'):
        load_processor(folder)
