# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A folder's files of weights, checked before anything is loaded from them.

Only safetensors are loaded: they hold numbers.  A pickle (pytorch_model.bin) is a program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import dataclasses
import os
import pathlib

from safetensors import safe_open, SafetensorError

from streamvlm_ros.engine.models.folder.files import expand, LFS, read_json

SINGLE = 'model.safetensors'
INDEX = 'model.safetensors.index.json'
PICKLES = ('pytorch_model.bin', 'pytorch_model.bin.index.json')
# The shapes of a model's tensors, by their names.
Shapes = Mapping[str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """Where a tensor is: its file, its name there, and its shape."""

    file: pathlib.Path
    name: str
    shape: tuple[int, ...]


def check_weights(
    path: str | os.PathLike[str], shape_difference: Callable[[Shapes], str]
) -> list[StoredTensor]:
    """Refuse a folder whose weights are not whole safetensors of the expected shapes.

    A model of other sizes is refused before memory is taken for it.

    Args:
        path: hub id or folder, which are on this machine.
        shape_difference: the family's; it takes the shapes that were found and returns a text
            that says how they differ from those of the model's configuration, '' if they do not.

    Returns:
        The tensors, file by file.

    Raises:
        FileNotFoundError: there are no safetensors, or one that the index names is missing.
        ValueError: a file is damaged, lies elsewhere, or is of another architecture.

    """
    folder = pathlib.Path(expand(path))
    found = [each for file in _files(folder) for each in _stored(file)]
    difference = shape_difference({each.name: each.shape for each in found})
    if difference:
        raise ValueError(
            f'The weights in {folder} are of another architecture than its config.json says: '
            f'{difference}.'
        )
    return found


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the files as transformers picks them."""
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if (folder / INDEX).is_file():
        shards = [folder / name for name in weight_names(folder)]
        for shard in shards:
            if not shard.is_file():
                raise FileNotFoundError(
                    f'{shard} is missing; {INDEX} names it. Is the download complete?'
                )
        return shards
    pickles = [name for name in PICKLES if (folder / name).exists()]
    if pickles:
        raise FileNotFoundError(
            f'{folder / pickles[0]} is not loaded: it is a pickle, which can run any program, '
            f'and there is no {SINGLE}. Take the model as safetensors.'
        )
    raise FileNotFoundError(f'{folder} has no weights: neither {SINGLE} nor {INDEX} is there.')


def is_whole(path: str | os.PathLike[str]) -> bool:
    """Tell whether all files of weights of a folder are there; their content is not looked at."""
    try:
        return bool(_files(pathlib.Path(expand(path))))
    except (OSError, ValueError):
        return False


def weight_names(folder: pathlib.Path) -> list[str]:
    """Return the files that a folder's index names.

    Raises:
        OSError: there is no index.
        ValueError: it is damaged, or names files in other places.

    """
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(
            f'{folder} has no weights as safetensors: neither {SINGLE} nor {INDEX} is there.'
        )
    names = read_json(folder, INDEX).get('weight_map')
    if not isinstance(names, Mapping) or not names:
        raise ValueError(f'{folder / INDEX} has no weight_map that names the files.')
    files = sorted(set(map(str, names.values())))
    for name in files:
        if name != os.path.basename(name) or not name.endswith('.safetensors'):
            raise ValueError(
                f'{folder / INDEX} names {name!r:.120}; only .safetensors files in '
                'the same folder are loaded.'
            )
    return files


def _stored(file: pathlib.Path) -> list[StoredTensor]:
    """Return a file's tensors in the order of their bytes; only its header is read."""
    try:
        with safe_open(file, framework='pt') as opened:
            return [
                StoredTensor(file, name, tuple(opened.get_slice(name).get_shape()))
                for name in opened.offset_keys()
            ]
    except SafetensorError as error:
        with open(file, 'rb') as opened:
            start = opened.read(len(LFS))
        why = (
            'it is the pointer of a file in Git LFS; run git lfs pull'
            if start == LFS
            else f'it is damaged or cut off ({error}); fetch it again'
        )
        raise ValueError(f'{file} holds no weights: {why}.') from error
