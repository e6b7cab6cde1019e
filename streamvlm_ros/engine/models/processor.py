# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tokenizer, chat template and preprocessing settings of a model, without torchvision."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from typing import Any

from transformers import AutoTokenizer

from streamvlm_ros.engine.models.base import ModelFamily
from streamvlm_ros.engine.models.folder.config import refuse_code
from streamvlm_ros.engine.models.folder.files import (
    check_sizes,
    expand,
    find_file,
    read_json,
    read_text,
)
from streamvlm_ros.engine.models.preprocessing import ImageProcessorConfig
from streamvlm_ros.engine.models.registry import family_at

TOKENIZER_FILES = (
    'tokenizer_config.json',
    'tokenizer.json',
    'vocab.json',
    'added_tokens.json',
    'special_tokens_map.json',
)
# One of them has a tokenizer's words.
VOCABULARY_FILES = ('tokenizer.json', 'vocab.json')
# Where a model's pixel bounds stand; transformers 5 saves them in sections of the last one.
PIXEL_FILES = (
    'video_preprocessor_config.json',
    'preprocessor_config.json',
    'processor_config.json',
)
PIXEL_SECTIONS = ('video_processor', 'image_processor')
PIXEL_BOUNDS = {'min_pixels', 'max_pixels', 'size'}
# Largest numbers of a preprocessor.  A frame is enlarged to min_pixels, so that is memory.
LARGEST = {
    'patch_size': 256,
    'temporal_patch_size': 16,
    'merge_size': 16,
    'min_pixels': 1 << 24,
    'max_pixels': 1 << 28,
}


@dataclasses.dataclass(frozen=True)
class StreamProcessor:
    """What the engine needs of a processor; ``template_name`` says where the template is from."""

    tokenizer: Any
    chat_template: str
    pixels: ImageProcessorConfig
    template_name: str = dataclasses.field(default='of the processor', compare=False)


def load_processor(path: str | os.PathLike[str]) -> StreamProcessor:
    """Load the processor of a hub id or a local folder; nothing in it is run.

    Raises:
        OSError: the folder does not exist or holds no model.
        ValueError: it has no chat template, or a file that is damaged, asks for program code, or
            does not fit the model's.

    """
    family = family_at(path)
    check_sizes(path)
    config = family.read_config(path)
    tokenizer = _tokenizer(path, config, family)
    name, settings = _pixel_settings(path)
    pixels = _pixels(settings, f'{expand(path)}/{name}', family.pixels)
    _check_patches(path, pixels, config)
    template, where = _chat_template(path, tokenizer)
    return StreamProcessor(tokenizer, template, pixels, where)


def as_stream_processor(processor: Any, family: ModelFamily) -> StreamProcessor:
    """Accept a stock ``AutoProcessor`` of a family in place of ``load_processor``'s result."""
    if isinstance(processor, StreamProcessor):
        return processor
    source = getattr(processor, 'video_processor', None) or processor.image_processor
    names = (
        'patch_size',
        'temporal_patch_size',
        'merge_size',
        'min_pixels',
        'max_pixels',
        'size',
        'image_mean',
        'image_std',
    )
    template = processor.chat_template or processor.tokenizer.chat_template
    return StreamProcessor(
        processor.tokenizer,
        template,
        _pixels(
            {name: getattr(source, name, None) for name in names}, 'The processor', family.pixels
        ),
    )


def _tokenizer(path: str | os.PathLike[str], config: dict[str, Any], family: ModelFamily) -> Any:
    folder = pathlib.Path(expand(path))
    if folder.is_dir() and not any((folder / name).is_file() for name in VOCABULARY_FILES):
        # transformers would make up an empty one.
        raise ValueError(
            f'The model folder {path} has no tokenizer: it needs tokenizer.json, or vocab.json '
            'and merges.txt.'
        )
    for name in TOKENIZER_FILES:
        refuse_code(f'{expand(path)}/{name}', read_json(path, name))
    try:
        tokenizer = AutoTokenizer.from_pretrained(expand(path), trust_remote_code=False)
    except OSError:
        raise
    except Exception as error:
        # Whatever a damaged file brings about inside transformers and tokenizers.
        raise ValueError(
            f'The tokenizer in {path} (tokenizer.json, tokenizer_config.json, '
            f'vocab.json, merges.txt) cannot be loaded: {type(error).__name__}: '
            f'{error!s:.300}'
        ) from error
    missing = sorted(set(dataclasses.astuple(family.tokens)) - tokenizer.get_vocab().keys())
    if missing:
        raise ValueError(
            f'The tokenizer in {path} does not know {missing[0]}; is tokenizer.json '
            f'there, and that of a {family.name}?'
        )
    vocabulary = (config.get('text_config') or config).get('vocab_size')
    if vocabulary is not None and len(tokenizer) > vocabulary:
        raise ValueError(
            f'The tokenizer in {path} has {len(tokenizer)} tokens and the model '
            f'{vocabulary}; they are not of one model.'
        )
    return tokenizer


def _pixel_settings(path: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """Return the first file or section that has pixel bounds, by its name, and what is in it.

    Raises:
        ValueError: there is none. The sizes that a model was trained on cannot be guessed.

    """
    for name in PIXEL_FILES:
        content = read_json(path, name)
        for section in PIXEL_SECTIONS:
            part = content.get(section)
            if isinstance(part, dict) and PIXEL_BOUNDS & part.keys():
                return f'{name} ({section})', part
        if PIXEL_BOUNDS & content.keys():
            return name, content
    raise ValueError(
        f'{path} has no pixel bounds (min_pixels and max_pixels, or size): they stand in '
        f'{", ".join(PIXEL_FILES[:-1])} or {PIXEL_FILES[-1]}. Copy that file from the model that '
        'this one was made of.'
    )


def _pixels(
    settings: dict[str, Any], name: str, default: ImageProcessorConfig
) -> ImageProcessorConfig:
    """Read all spellings of the pixel bounds: min_pixels, size.min_pixels, size.shortest_edge.

    Raises:
        ValueError: a value is of another kind, or out of its bounds.

    """
    size = settings.get('size') or {}
    if not hasattr(size, 'get'):
        raise ValueError(f'{name}: size is {size!r:.80}; it must be an object.')

    def number(key: str, other: str = '') -> int:
        found = settings.get(key)
        if found is None and other:
            found = size.get(key)
        if found is None and other:
            found = size.get(other)
        if found is None:
            return int(getattr(default, key))
        if (
            isinstance(found, bool)
            or not isinstance(found, int)
            or not (1 <= found <= LARGEST[key])
        ):
            raise ValueError(
                f'{name}: {key} is {found!r:.80}; it must be an integer from 1 to {LARGEST[key]}.'
            )
        return found

    def three(key: str, fallback: tuple[float, ...], least: float) -> tuple[float, ...]:
        found = settings.get(key)
        if found is None:
            return fallback
        if (
            not isinstance(found, (list, tuple))
            or len(found) != 3
            or not all(isinstance(x, (int, float)) and least < x < math.inf for x in found)
        ):
            raise ValueError(
                f'{name}: {key} is {found!r:.80}; it must be three numbers above {least:g}.'
            )
        return tuple(found)

    made = dataclasses.replace(
        default,
        patch_size=number('patch_size'),
        temporal_patch_size=number('temporal_patch_size'),
        merge_size=number('merge_size'),
        min_pixels=number('min_pixels', 'shortest_edge'),
        max_pixels=number('max_pixels', 'longest_edge'),
        mean=three('image_mean', default.mean, -math.inf),
        std=three('image_std', default.std, 0.0),
    )
    if made.min_pixels > made.max_pixels:
        raise ValueError(
            f'{name}: min_pixels is {made.min_pixels} and max_pixels '
            f'{made.max_pixels}; it must not be larger.'
        )
    return made


def _check_patches(
    path: str | os.PathLike[str], pixels: ImageProcessorConfig, config: dict[str, Any]
) -> None:
    """Refuse frames that would be cut in another way than the model takes them."""
    vision = config.get('vision_config') or {}
    for mine, other in (
        ('patch_size', 'patch_size'),
        ('merge_size', 'spatial_merge_size'),
        ('temporal_patch_size', 'temporal_patch_size'),
    ):
        if vision.get(other) not in (None, getattr(pixels, mine)):
            raise ValueError(
                f'The preprocessor in {path} has {mine} {getattr(pixels, mine)} and '
                f'the model {vision[other]}; they are not of one model.'
            )


def _chat_template(path: str | os.PathLike[str], tokenizer: Any) -> tuple[str, str]:
    """Return the template, and the name of where it stands."""
    jinja = find_file(path, 'chat_template.jinja')
    if jinja is not None:
        return read_text(jinja), str(jinja)
    name = 'chat_template.json'
    template = read_json(path, name).get('chat_template')
    if not template:
        name, template = 'tokenizer_config.json', tokenizer.chat_template
    where = f'{expand(path)}/{name}'
    if not template:
        raise ValueError(f'{path} has no chat template; the prompt is built from it.')
    if not isinstance(template, str):
        raise ValueError(
            f'{where}: the chat template must be a text, not {type(template).__name__}.'
        )
    return template, where
