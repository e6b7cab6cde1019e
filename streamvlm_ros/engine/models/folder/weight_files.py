# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A folder's files of weights, looked at before anything is loaded from them.

Only safetensors are: they hold numbers.  A pickle (pytorch_model.bin) is a program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import contextlib
import os
import pathlib
import re
from typing import Any

from safetensors import safe_open, SafetensorError
import torch

from streamvlm_ros.engine.models.folder.files import expand, LFS, read_json

SINGLE = 'model.safetensors'
INDEX = 'model.safetensors.index.json'
PICKLES = ('pytorch_model.bin', 'pytorch_model.bin.index.json')
_LAYER = re.compile(r'(?:^|\.)(layers|blocks)\.(\d+)\.mlp\.gate_proj\.weight$')


def check_weights(path: str | os.PathLike[str], config: Any) -> None:
    """Refuse a folder whose weights are not whole safetensors of the sizes that are expected.

    A model of other sizes is refused before memory is taken for it.  Hub ids are left to
    transformers, which is told to take safetensors only.

    Args:
        path: hub id or folder.
        config: the model's configuration, a ``Qwen2_5_VLConfig``.

    Raises:
        FileNotFoundError: there are no safetensors, or one that the index names is missing.
        ValueError: a file is damaged, lies elsewhere, or is of another architecture.

    """
    folder = pathlib.Path(expand(path))
    if not folder.is_dir():
        return
    shapes: dict[str, tuple[int, ...]] = {}
    for file in _files(folder):
        shapes.update(_shapes(file))
    _check_shapes(folder, shapes, config)


@contextlib.contextmanager
def only_safetensors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Load weights inside; what goes wrong with them is told in a sentence with their name.

    Raises:
        ValueError: they could not be loaded.

    """
    # Else transformers asks a program on the hub to convert what is no safetensors.
    os.environ['DISABLE_SAFETENSORS_CONVERSION'] = '1'
    try:
        yield
    except (OSError, ValueError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise ValueError(
            f'The model {path} cannot be loaded: {type(error).__name__}: {error}'
        ) from error


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the files as transformers picks them."""
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if (folder / INDEX).is_file():
        return _shards(folder)
    pickles = [name for name in PICKLES if (folder / name).exists()]
    if pickles:
        raise FileNotFoundError(
            f'{folder / pickles[0]} is not loaded: it is a pickle, which can run any program, '
            f'and there is no {SINGLE}. Take the model as safetensors.'
        )
    raise FileNotFoundError(f'{folder} has no weights: neither {SINGLE} nor {INDEX} is there.')


def _shards(folder: pathlib.Path) -> list[pathlib.Path]:
    names = read_json(folder, INDEX).get('weight_map')
    if not isinstance(names, Mapping) or not names:
        raise ValueError(f'{folder / INDEX} has no weight_map that names the files.')
    files = []
    for name in sorted(set(map(str, names.values()))):
        if name != os.path.basename(name) or not name.endswith('.safetensors'):
            raise ValueError(
                f'{folder / INDEX} names {name!r:.120}; only .safetensors files in '
                'the same folder are loaded.'
            )
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f'{folder / name} is missing; {INDEX} names it. Is the download complete?'
            )
        files.append(folder / name)
    return files


def _shapes(file: pathlib.Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a file's tensors by their names; only its header is read."""
    try:
        with safe_open(file, framework='pt') as opened:
            names = opened.keys()
            return {name: tuple(opened.get_slice(name).get_shape()) for name in names}
    except SafetensorError as error:
        with open(file, 'rb') as opened:
            start = opened.read(len(LFS))
        why = (
            'it is the pointer of a file in Git LFS; run git lfs pull'
            if start == LFS
            else f'it is damaged or cut off ({error}); fetch it again'
        )
        raise ValueError(f'{file} holds no weights: {why}.') from error


def _check_shapes(
    folder: pathlib.Path, shapes: Mapping[str, tuple[int, ...]], config: Any
) -> None:
    text, vision = config.text_config, config.vision_config
    expected = {
        'layers': (text.num_hidden_layers, (text.intermediate_size, text.hidden_size)),
        'blocks': (vision.depth, (vision.intermediate_size, vision.hidden_size)),
    }
    found: dict[str, dict[int, tuple[int, ...]]] = {'layers': {}, 'blocks': {}}
    for name, shape in shapes.items():
        match = _LAYER.search(name)
        if match:
            found[match[1]][int(match[2])] = shape
        if name.endswith('embed_tokens.weight') and shape != (text.vocab_size, text.hidden_size):
            _refuse(
                folder, f'{name} is {list(shape)} and not {[text.vocab_size, text.hidden_size]}'
            )
    for kind, (count, shape) in expected.items():
        if len(found[kind]) != count:
            _refuse(folder, f'they have {len(found[kind])} {kind} and not {count}')
        for number, other in found[kind].items():
            if other != shape:
                _refuse(
                    folder, f'{kind}.{number}.mlp.gate_proj is {list(other)} and not {list(shape)}'
                )


def _refuse(folder: pathlib.Path, why: str) -> None:
    raise ValueError(
        f'The weights in {folder} are of another architecture than its config.json says: {why}.'
    )
