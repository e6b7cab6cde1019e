# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model folder of somebody else's: nothing in it is run, each fault is one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import json
import os
import pathlib
import pickle
import shutil
import sys
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
import torch

from streamvlm_ros.engine import (
    load_processor,
    resolve_model,
    StreamQwenModel,
    VideoStreamingInference,
)

TINY = pathlib.Path(resolve_model('tiny'))


class Program:
    """A pickle of it leaves a file behind when it is read."""

    def __init__(self, proof: pathlib.Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return pathlib.Path.touch, (self.proof,)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a copy of tiny."""
    return shutil.copytree(TINY, tmp_path / 'model')


@pytest.fixture
def proof(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Return a file that is there when code of the folder has run; the test then fails."""
    yield tmp_path / 'PROOF'
    assert not (tmp_path / 'PROOF').exists()
    assert 'evil' not in sys.modules


def change(folder: pathlib.Path, name: str, edit: Callable[[dict], Any]) -> None:
    """Change a JSON file of the folder."""
    content = json.loads((folder / name).read_text())
    edit(content)
    (folder / name).write_text(json.dumps(content))


def load(folder: pathlib.Path) -> None:
    """Load all of a model as the node does."""
    model = StreamQwenModel.from_pretrained(folder, dtype='float32')
    VideoStreamingInference(model, load_processor(folder))


def test_the_guard_works(proof, tmp_path):
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
def test_pickled_weights(folder, proof, write):
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
def test_an_index(folder, proof, tmp_path, name, error, sentence):
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
def test_remote_code(folder, proof, name, value):
    """A file that names Python code is refused, and nobody is asked on the terminal."""
    (folder / 'evil.py').write_text(f'open({str(proof)!r}, "w")\n')
    change(folder, name, lambda content: content.update(auto_map=value))
    with pytest.raises(ValueError, match=rf'{name} asks for program code of its own'):
        load(folder)


def test_custom_generate(folder, proof):
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
def test_a_kernel_from_the_hub(folder, section, key):
    """What a configuration asks for is refused where it is not known, and else not listened to."""

    def ask_for(kernel: str) -> Callable[[dict], None]:
        return lambda content: (content if section is None else content[section]).update(
            {key: kernel}
        )

    change(folder, 'config.json', ask_for('flash_attention_2'))
    model = StreamQwenModel.from_pretrained(folder, dtype='float32')
    assert model.config._attn_implementation == 'sdpa'
    assert model.config.text_config._attn_implementation == 'sdpa'
    change(folder, 'config.json', ask_for('evil/kernel'))
    with pytest.raises(ValueError, match=r"config\.json asks for the kernel 'evil/kernel'"):
        load(folder)


@pytest.mark.parametrize('method', ['awq', 'gptq', 'bitsandbytes', 'fp8'])
def test_quantized_weights(folder, method):
    """Nobody is sent to install what then runs: the sentence says what there is here."""
    change(
        folder,
        'config.json',
        lambda content: content.update(quantization_config={'quant_method': method}),
    )
    with pytest.raises(ValueError, match=rf'config\.json says .*{method}.* quantization: int8'):
        load(folder)


@pytest.mark.parametrize(
    ('section', 'key', 'value'),
    [
        ('text_config', 'num_hidden_layers', 10**9),
        ('text_config', 'num_hidden_layers', 0),
        ('text_config', 'hidden_size', 2**40),
        ('text_config', 'vocab_size', -1),
        ('text_config', 'num_attention_heads', 'four'),
        ('text_config', 'num_key_value_heads', 1.5),
        ('vision_config', 'depth', True),
        ('vision_config', 'patch_size', 0),
        ('vision_config', 'tokens_per_second', float('nan')),
        ('vision_config', 'tokens_per_second', 1e300),
        ('vision_config', 'window_size', 27),
        ('vision_config', 'hidden_act', 'gelu'),
        ('text_config', 'hidden_act', 'relu'),
        ('text_config', 'rope_parameters', {'rope_type': 'default', 'rope_theta': 1e4}),
        (
            'text_config',
            'rope_parameters',
            {'rope_type': 'default', 'rope_theta': 1e4, 'mrope_section': [1, 1, 1]},
        ),
        ('text_config', 'layer_types', 7),
        (None, 'video_token_id', 10**6),
        (None, 'text_config', 'none'),
        (None, 'vision_config', [1]),
        (None, 'transformers_weights', 'pytorch_model.bin'),
    ],
)
def test_numbers_of_a_configuration(folder, section, key, value):
    """An impossible one is refused before anything of that size is built."""
    change(
        folder,
        'config.json',
        lambda content: (content if section is None else content[section]).update({key: value}),
    )
    with pytest.raises(ValueError, match=r'model/config\.json.*') as caught:
        load(folder)
    assert key in str(caught.value) or 'mrope_section' in str(caught.value)


@pytest.mark.parametrize(
    ('section', 'key', 'value'),
    [
        ('text_config', 'num_hidden_layers', 1000),
        ('text_config', 'vocab_size', 1 << 22),
        ('text_config', 'intermediate_size', 1 << 20),
        ('vision_config', 'depth', 1000),
        ('vision_config', 'intermediate_size', 1 << 20),
    ],
)
def test_a_configuration_larger_than_its_weights(folder, monkeypatch, section, key, value):
    """No memory is taken for weights that are not in the files."""
    change(folder, 'config.json', lambda content: content[section].update({key: value}))
    change(folder, 'config.json', lambda content: content['text_config'].pop('layer_types'))
    monkeypatch.setattr(StreamQwenModel, '__init__', lambda *_: pytest.fail('it was built'))
    with pytest.raises(ValueError, match='of another architecture than its config'):
        StreamQwenModel.from_pretrained(folder)


@pytest.mark.parametrize(
    'damage',
    [
        lambda data: (
            b'version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3990000000\n'
        ),
        lambda data: data[:-1000],
        lambda data: b'',
        lambda data: b'\xff' * 100,
        lambda data: (10**8).to_bytes(8, 'little') + data[8:],
    ],
)
def test_damaged_weights(folder, damage):
    """The sentence names the file; a pointer of Git LFS is known."""
    file = folder / 'model.safetensors'
    data = damage(file.read_bytes())
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r'model\.safetensors holds no weights: ') as caught:
        load(folder)
    assert ('git lfs pull' in str(caught.value)) == data.startswith(b'version')


def test_weights_of_another_shape(folder):
    """The tensor is named."""
    weights = load_file(folder / 'model.safetensors')
    weights['model.language_model.norm.weight'] = torch.ones(128)
    save_file(weights, folder / 'model.safetensors', {'format': 'pt'})
    with pytest.raises(ValueError, match=r', model\.language_model\.norm\.weight among them'):
        load(folder)


@pytest.mark.parametrize(
    'name',
    [
        'config.json',
        'tokenizer.json',
        'tokenizer_config.json',
        'preprocessor_config.json',
        'generation_config.json',
        'chat_template.json',
    ],
)
@pytest.mark.parametrize(
    ('content', 'sentence'),
    [
        (b'[' * 200_000, 'is nested too deeply'),
        (b'{', 'is not JSON'),
        (b'[1]', 'not a JSON object'),
        (b'{"a": "\xff"}', 'is not UTF-8'),
    ],
)
def test_damaged_files(folder, name, content, sentence):
    """Whichever it is, it is named."""
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf'model/{name} .*{sentence}'):
        load(folder)


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
    for name in ('tokenizer.json', 'tokenizer_config.json', 'vocab.json', 'merges.txt'):
        (folder / name).unlink()
    with pytest.raises((OSError, ValueError), match='okenizer'):
        load(folder)


def test_a_template_that_escapes(folder, proof):
    """The sandbox holds, and the file is named."""
    (folder / 'chat_template.jinja').write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(ValueError, match=r'chat_template\.jinja cannot be rendered: SecurityErr'):
        load(folder)


def test_the_end_of_an_answer(folder):
    """Token ids, and nothing else."""
    change(folder, 'generation_config.json', lambda content: content.update(eos_token_id='x'))
    with pytest.raises(ValueError, match=r'generation_config\.json: eos_token_id'):
        load(folder)


def test_home_is_found(folder, monkeypatch):
    """``~`` stands for the home folder in all that loads."""
    monkeypatch.setenv('HOME', os.fspath(folder.parent))
    assert resolve_model('~/model') == os.fspath(folder)
    load(pathlib.Path('~/model'))


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


@pytest.mark.parametrize(
    ('key', 'sentence'),
    [
        ('vision_config', 'has no vision_config'),
        ('model_type', 'names no model_type'),
    ],
)
def test_a_configuration_without(folder, key, sentence):
    """What is missing is named, before anything is compared with the weights."""
    change(folder, 'config.json', lambda content: content.pop(key))
    with pytest.raises(ValueError, match=rf'config\.json {sentence}'):
        load(folder)


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
