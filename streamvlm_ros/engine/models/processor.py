# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Tokenizer, chat template and preprocessing settings of a model, without torchvision."""

from __future__ import annotations

import dataclasses
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
from streamvlm_ros.engine.models.folder.pixel_settings import (
    load_pixel_settings,
    read_pixel_settings,
    SETTINGS,
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
    pixels = load_pixel_settings(path, family.pixels)
    _check_patches(path, pixels, config)
    template, where = _chat_template(path, tokenizer)
    return StreamProcessor(tokenizer, template, pixels, where)


def as_stream_processor(processor: Any, family: ModelFamily) -> StreamProcessor:
    """Accept a stock ``AutoProcessor`` of a family in place of ``load_processor``'s result."""
    if isinstance(processor, StreamProcessor):
        return processor
    source = getattr(processor, 'video_processor', None) or processor.image_processor
    settings = {name: getattr(source, name, None) for name in SETTINGS}
    template = processor.chat_template or processor.tokenizer.chat_template
    return StreamProcessor(
        processor.tokenizer,
        template,
        read_pixel_settings(settings, 'The processor', family.pixels),
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
