# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tokenizer, chat template and preprocessing settings of a model, without torchvision."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from transformers import AutoTokenizer

from streamvlm_ros.engine.checkpoint import check_checkpoint
from streamvlm_ros.engine.frames import PixelSettings


@dataclasses.dataclass(frozen=True)
class StreamProcessor:
    """What the engine needs of a processor."""

    tokenizer: Any
    chat_template: str
    pixels: PixelSettings


def load_processor(path: str | os.PathLike[str]) -> StreamProcessor:
    """Load the processor of a hub id or a local folder.

    Raises:
        FileNotFoundError: the folder does not exist or holds no model.
        ValueError: it has no chat template.

    """
    check_checkpoint(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    settings = _read_json(path, 'video_preprocessor_config.json')
    settings = settings or _read_json(path, 'preprocessor_config.json')
    return StreamProcessor(tokenizer, _chat_template(path, tokenizer), _pixels(settings))


def as_stream_processor(processor: Any) -> StreamProcessor:
    """Accept a stock ``AutoProcessor`` in place of ``load_processor``'s result."""
    if isinstance(processor, StreamProcessor):
        return processor
    source = getattr(processor, 'video_processor', None) or processor.image_processor
    names = ('patch_size', 'temporal_patch_size', 'merge_size', 'min_pixels', 'max_pixels',
             'size', 'image_mean', 'image_std')
    template = processor.chat_template or processor.tokenizer.chat_template
    return StreamProcessor(processor.tokenizer, template,
                           _pixels({name: getattr(source, name, None) for name in names}))


def _pixels(settings: dict[str, Any]) -> PixelSettings:
    """Read both spellings of the pixel bounds: min_pixels, or size.shortest_edge."""
    default = PixelSettings()
    size = dict(settings.get('size') or {})

    def value(*found: Any) -> Any:
        return next((x for x in found if x is not None), None)

    return PixelSettings(
        patch_size=value(settings.get('patch_size'), default.patch_size),
        temporal_patch_size=value(settings.get('temporal_patch_size'),
                                  default.temporal_patch_size),
        merge_size=value(settings.get('merge_size'), default.merge_size),
        min_pixels=value(settings.get('min_pixels'), size.get('shortest_edge'),
                         default.min_pixels),
        max_pixels=value(settings.get('max_pixels'), size.get('longest_edge'),
                         default.max_pixels),
        mean=tuple(value(settings.get('image_mean'), default.mean)),
        std=tuple(value(settings.get('image_std'), default.std)))


def _chat_template(path: str | os.PathLike[str], tokenizer: Any) -> str:
    jinja = _find(path, 'chat_template.jinja')
    if jinja is not None:
        return jinja.read_text(encoding='utf-8')
    template = _read_json(path, 'chat_template.json').get('chat_template')
    template = template or tokenizer.chat_template
    if not template:
        raise ValueError(f'{path} has no chat template; the prompt is built from it.')
    return template


def _read_json(path: str | os.PathLike[str], name: str) -> dict[str, Any]:
    found = _find(path, name)
    return {} if found is None else json.loads(found.read_text(encoding='utf-8'))


def _find(path: str | os.PathLike[str], name: str) -> pathlib.Path | None:
    folder = pathlib.Path(path).expanduser()
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    try:
        return pathlib.Path(hf_hub_download(str(path), name))
    except EntryNotFoundError:
        return None
