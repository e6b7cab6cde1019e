# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A folder's files of weights, checked before anything is loaded from them.

Only safetensors are loaded: they hold numbers.  A pickle (pytorch_model.bin) is a program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
import contextlib
import os
import pathlib

from safetensors import safe_open, SafetensorError
import torch
from transformers.utils import logging

from streamvlm_ros.engine.models.folder.files import expand, LFS, read_json

SINGLE = 'model.safetensors'
INDEX = 'model.safetensors.index.json'
PICKLES = ('pytorch_model.bin', 'pytorch_model.bin.index.json')
# The shapes of a model's tensors, by their names.
Shapes = Mapping[str, tuple[int, ...]]


def check_weights(path: str | os.PathLike[str], shape_difference: Callable[[Shapes], str]) -> None:
    """Refuse a folder whose weights are not whole safetensors of the expected shapes.

    A model of other sizes is refused before memory is taken for it.  Hub ids are left to
    transformers, which is told to take safetensors only.

    Args:
        path: hub id or folder.
        shape_difference: the family's; it takes the shapes that were found and returns a text
            that says how they differ from those of the model's configuration, '' if they do not.

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
    difference = shape_difference(shapes)
    if difference:
        raise ValueError(
            f'The weights in {folder} are of another architecture than its config.json says: '
            f'{difference}.'
        )


@contextlib.contextmanager
def only_safetensors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Load weights inside; an error becomes a sentence with the name of the model.

    No bar is drawn, which would break the lines of a log.

    Raises:
        ValueError: they could not be loaded.

    """
    # Otherwise transformers asks a program on the hub to convert files of other formats.
    os.environ['DISABLE_SAFETENSORS_CONVERSION'] = '1'
    had_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise ValueError(
            f'The model {path} cannot be loaded: {type(error).__name__}: {error}'
        ) from error
    finally:
        if had_bars:
            logging.enable_progress_bar()


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
