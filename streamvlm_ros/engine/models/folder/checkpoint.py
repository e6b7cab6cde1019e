# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which model folders are opened, and the sentence for those that are not."""

from __future__ import annotations

import os
import pathlib

from streamvlm_ros.engine.models.folder.files import expand, is_hub_id
from streamvlm_ros.engine.models.folder.quantized import INSTEAD


def resolve_model(name: str) -> str:
    """Return the folder of the embedded model for ``tiny``, and ``files.expand`` of others."""
    if name == 'tiny':
        return str(pathlib.Path(__file__).parents[3] / 'models' / 'tiny')
    return expand(name)


def check_checkpoint(path: str | os.PathLike[str]) -> None:
    """Refuse a local path that holds no model, before anything is loaded.

    Raises:
        FileNotFoundError: it is not on this machine, or holds no model.
        ValueError: it holds a model as GGUF.

    """
    folder = pathlib.Path(expand(path))
    if not folder.exists():
        if is_hub_id(str(path)):
            raise FileNotFoundError(
                f'The model {path} is not on this machine; streamvlm pull {path} fetches it.'
            )
        raise FileNotFoundError(
            f'The model folder {path} does not exist; give tiny, an existing folder, or a hub id '
            'like Qwen/Qwen2.5-VL-3B-Instruct, which streamvlm pull fetches.'
        )
    if not (folder / 'config.json').is_file():
        if folder.suffix == '.gguf' or any(folder.glob('*.gguf')):
            raise ValueError(f'{path} holds a model as GGUF, which is not run. {INSTEAD}')
        raise FileNotFoundError(f'{path} is not a model folder: it has no config.json.')
