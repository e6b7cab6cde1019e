# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model folder of unknown origin: none of its code is run."""

from __future__ import annotations

from collections.abc import Callable
import json
import os
import pathlib
import pickle
from typing import Any

import pytest
from support.models.hostile_folder import change, load, Program
import torch

from streamvlm_ros.engine import (
    resolve_model,
    StreamQwenModel,
)


def test_the_guard_works(proof: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The pickle does run where it is read: else the tests below could not fail."""
    pickle.loads(pickle.dumps(Program(proof)))
    assert proof.exists()
    proof.unlink()


@pytest.mark.parametrize(
    'write',
    [
        lambda file, program: torch.save({'model.embed_tokens.weight': program}, file),
        lambda file, program: file.write_bytes(pickle.dumps(program)),
    ],
)
def test_pickled_weights(folder: pathlib.Path, proof: pathlib.Path, write: Any) -> None:
    """They are not opened, whatever stands in them."""
    (folder / 'model.safetensors').unlink()
    write(folder / 'pytorch_model.bin', Program(proof))
    with pytest.raises(FileNotFoundError, match=r'pytorch_model\.bin is not loaded: it is a pick'):
        load(folder)


@pytest.mark.parametrize(
    ('name', 'error', 'sentence'),
    [
        ('../other/pytorch_model.bin', ValueError, 'in the same folder'),
        ('../other/model.safetensors', ValueError, 'in the same folder'),
        ('/etc/passwd', ValueError, 'in the same folder'),
        ('pytorch_model.bin', ValueError, 'in the same folder'),
        ('gone.safetensors', FileNotFoundError, 'gone.safetensors is missing'),
    ],
)
def test_an_index(
    folder: pathlib.Path,
    proof: pathlib.Path,
    tmp_path: pathlib.Path,
    name: str,
    error: Any,
    sentence: str,
) -> None:
    """It names safetensors beside it, and they are there."""
    (tmp_path / 'other').mkdir()
    for place in (tmp_path / 'other', folder):
        (place / 'pytorch_model.bin').write_bytes(pickle.dumps(Program(proof)))
    (folder / 'model.safetensors').rename(tmp_path / 'other' / 'model.safetensors')
    index = folder / 'model.safetensors.index.json'
    index.write_text(json.dumps({'metadata': {}, 'weight_map': {'model.norm.weight': name}}))
    with pytest.raises(error, match=r'model\.safetensors\.index\.json') as caught:
        load(folder)
    assert sentence in str(caught.value)
    index.write_text('{}')
    with pytest.raises(ValueError, match='no weight_map'):
        load(folder)


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('config.json', {'AutoConfig': 'evil.Config', 'AutoModel': 'evil.Model'}),
        ('tokenizer_config.json', {'AutoTokenizer': ['evil.Tokenizer', 'evil.Tokenizer']}),
    ],
)
def test_remote_code(
    folder: pathlib.Path, proof: pathlib.Path, name: str, value: dict[str, Any]
) -> None:
    """A file that names Python code is refused, and nobody is asked on the terminal."""
    (folder / 'evil.py').write_text(f'open({str(proof)!r}, "w")\n')
    change(folder, name, lambda content: content.update(auto_map=value))
    with pytest.raises(ValueError, match=rf'{name} asks for program code of its own'):
        load(folder)


def test_custom_generate(folder: pathlib.Path, proof: pathlib.Path) -> None:
    """Code for transformers' generate is not run: answers are decoded here."""
    (folder / 'custom_generate').mkdir()
    (folder / 'custom_generate' / 'generate.py').write_text(f'open({str(proof)!r}, "w")\n')
    change(
        folder,
        'generation_config.json',
        lambda content: content.update(custom_generate=str(folder)),
    )
    load(folder)


@pytest.mark.parametrize('section', [None, 'text_config', 'vision_config'])
@pytest.mark.parametrize('key', ['attn_implementation', '_attn_implementation'])
def test_a_kernel_from_the_hub(folder: pathlib.Path, section: str | None, key: str) -> None:
    """What a configuration asks for is refused where it is not known, and else not listened to."""

    def ask_for(kernel: str) -> Callable[[dict], None]:
        return lambda content: (content if section is None else content[section]).update(
            {key: kernel}
        )

    change(folder, 'config.json', ask_for('flash_attention_2'))
    model = StreamQwenModel.from_pretrained(folder, dtype='float32')
    for config in (model.config, model.config.text_config, model.config.vision_config):
        assert config._attn_implementation is None
    change(folder, 'config.json', ask_for('evil/kernel'))
    with pytest.raises(ValueError, match=r"config\.json asks for the kernel 'evil/kernel'"):
        load(folder)


def test_a_template_that_escapes(folder: pathlib.Path, proof: pathlib.Path) -> None:
    """The sandbox holds, and the file is named."""
    (folder / 'chat_template.jinja').write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(ValueError, match=r'chat_template\.jinja cannot be rendered: SecurityErr'):
        load(folder)


def test_the_end_of_an_answer(folder: pathlib.Path) -> None:
    """Token ids, and nothing else."""
    change(folder, 'generation_config.json', lambda content: content.update(eos_token_id='x'))
    with pytest.raises(ValueError, match=r'generation_config\.json: eos_token_id'):
        load(folder)


@pytest.mark.parametrize(
    'values', [{'watermarking_config': 5}, {'cache_implementation': 'evil'}, {'self': 1}]
)
def test_rules_that_transformers_cannot_read(folder: pathlib.Path, values: dict[str, Any]) -> None:
    """The sentence names the file."""
    change(folder, 'generation_config.json', lambda content: content.update(values))
    with pytest.raises(ValueError, match=r'model/generation_config\.json cannot be read: '):
        load(folder)


def test_home_is_found(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` stands for the home folder in all that loads."""
    monkeypatch.setenv('HOME', os.fspath(folder.parent))
    assert resolve_model('~/model') == os.fspath(folder)
    load(pathlib.Path('~/model'))
