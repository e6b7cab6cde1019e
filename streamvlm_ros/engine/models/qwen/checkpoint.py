# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A Qwen model's folder: its weights under published names, read into the model and written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import copy
import dataclasses
import functools
import logging
import os
import pathlib
from typing import Any, TypeVar

import torch
from transformers import GenerationConfig

from streamvlm_ros.engine.models.devices import (
    Device,
    device_in,
    DeviceMap,
    fitting,
    place_modules,
)
from streamvlm_ros.engine.models.folder.awq import read_awq
from streamvlm_ros.engine.models.folder.files import expand, read_json
from streamvlm_ros.engine.models.folder.tensors import (
    by_parameter,
    choose_dtype,
    read_tensors,
    write_tensors,
)
from streamvlm_ros.engine.models.folder.weight_files import StoredTensor
from streamvlm_ros.engine.models.generation import FILE as GENERATION
from streamvlm_ros.engine.models.qwen.modules import Rotary
from streamvlm_ros.engine.ops.quantization import stored_weights

EMBEDDING, HEAD = 'model.language_model.embed_tokens.weight', 'lm_head.weight'

_log = logging.getLogger(__name__)
Model = TypeVar('Model')


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a family's folders are like.

    Attributes:
        architecture: as stock transformers calls what this is.
        names: beginnings of tensors' names, as published and in the model, where they differ.
        whole: classes of modules that are joined and run as one, so on one device.

    """

    architecture: str
    names: tuple[tuple[str, str], ...]
    whole: tuple[str, ...]

    @property
    def layers(self) -> str:
        """The published name of the list of the decoder's layers."""
        return self.published_name('model.language_model.layers')

    def own_name(self, name: str) -> str:
        """Return a tensor's name in the model, for one that is published or the model's."""
        if name.startswith(tuple(own for _, own in self.names)):
            return name
        for published, own in self.names:
            if name.startswith(published):
                return own + name.removeprefix(published)
        return name

    def published_name(self, name: str) -> str:
        """Return the opposite of ``own_name``."""
        for published, own in self.names:
            if name.startswith(own):
                return published + name.removeprefix(own)
        return name


def build_empty(path: str | os.PathLike[str], build: Callable[[], Model]) -> Model:
    """Build a model on the meta device.

    Raises:
        ValueError: the configuration is one of which no model can be built.

    """
    try:
        with torch.device('meta'):
            return build()
    except ValueError:
        raise
    except Exception as error:
        # Whatever a value of another kind brings about inside PyTorch.
        raise ValueError(
            f'The model {path} cannot be built: {type(error).__name__}: {error!s:.300}'
        ) from error


def load_weights(
    path: str | os.PathLike[str],
    model: Any,
    stored: Sequence[StoredTensor],
    dtype: torch.dtype | str | None,
    device_map: Device | DeviceMap | None,
) -> dict[str, torch.device]:
    """Give an empty model its weights.

    Args:
        path: of the model, for sentences.
        model: on the meta device.
        stored: the tensors of its folder.
        dtype: see ``QwenModel.from_pretrained``.
        device_map: likewise.

    Returns:
        Where its modules are, by their names; '' is the whole model.

    Raises:
        ValueError, StreamError: see ``QwenModel.from_pretrained``.

    """
    config = model.config
    found = by_parameter(stored, model.layout.own_name)
    number = choose_dtype(dtype, config.dtype, found)
    _untie_if_stored(model, found)
    places = place_modules(path, model, device_map, number, model.layout.whole)
    size = sum(
        each.numel() * number.itemsize if each.is_floating_point() else each.nbytes
        for each in stored_weights(model)
    )
    with fitting(size, ' and '.join(sorted(set(map(str, places.values()))))):
        device_of = functools.partial(device_in, places)
        read_awq(path, model, found, device_of)
        read_tensors(path, model, found, number, device_of)
        for name, module in model.named_modules():
            if isinstance(module, Rotary):
                module.reset(device_in(places, name))
    _tie(model)
    for section in (config, config.text_config, config.vision_config):
        section.dtype = number
    return places


def load_generation(path: str | os.PathLike[str]) -> GenerationConfig | None:
    """Return what a folder's generation_config.json says; None where it has none.

    Raises:
        ValueError: transformers cannot read it.

    """
    said = read_json(path, GENERATION)
    try:
        return GenerationConfig.from_dict(said) if said else None
    except Exception as error:
        # Whatever a value of another kind brings about inside transformers.
        raise ValueError(
            f'{expand(path)}/{GENERATION} cannot be read: {type(error).__name__}: {error!s:.300}'
        ) from error


def save_model(model: Any, folder: pathlib.Path) -> None:
    """Write a model as a folder that transformers' own class loads, too.

    Raises:
        ValueError: weights are quantized, which has no layout that transformers reads.

    """
    if any(name.endswith('.numbers') for name in model.state_dict()):
        raise ValueError('A model that was quantized cannot be saved; save it before that.')
    folder.mkdir(parents=True, exist_ok=True)
    config = copy.deepcopy(model.config)
    config.architectures = [model.layout.architecture]
    config.dtype = model.dtype
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    name_of = model.layout.published_name
    write_tensors(folder, {name_of(name): each for name, each in model.named_parameters()})


def _untie_if_stored(model: Any, stored: dict[str, StoredTensor]) -> None:
    """Prepare for what the files have of embedding and head, which may be one matrix."""
    if not model.config.tie_word_embeddings or HEAD not in stored:
        return
    if EMBEDDING in stored:
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    else:
        stored[EMBEDDING] = stored.pop(HEAD)


def _tie(model: Any) -> None:
    """Make embedding and head one matrix, if the configuration says so and they are equal."""
    if not model.config.tie_word_embeddings:
        return
    table, head = model.get_input_embeddings().weight, model.lm_head.weight
    if head.is_meta or torch.equal(table, head.to(table.device)):
        model.lm_head.weight = table
    else:
        _log.warning(
            'config.json says that embedding and head are one matrix (tie_word_embeddings), '
            'but the files hold two different ones; both are used.'
        )
