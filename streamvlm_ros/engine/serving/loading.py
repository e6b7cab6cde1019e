# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From the name of a model to streams that are ready for frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import logging
import time
from typing import Any

import torch

from streamvlm_ros.engine.config import DTYPES, QUANTIZATIONS, StreamSettings
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.kvcache.capacity import check_all_fit
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.devices import BALANCED, check_placement, move_model
from streamvlm_ros.engine.models.folder.checkpoint import resolve_model
from streamvlm_ros.engine.models.folder.files import is_hub_id
from streamvlm_ros.engine.models.folder.weight_files import is_whole
from streamvlm_ros.engine.models.hub.fetch import Download
from streamvlm_ros.engine.models.processor import as_stream_processor, load_processor
from streamvlm_ros.engine.models.registry import load_model
from streamvlm_ros.engine.models.view_size import view_tokens
from streamvlm_ros.engine.ops.quantization import count_weights
from streamvlm_ros.engine.serving.inference import VideoStreamingInference
from streamvlm_ros.engine.serving.warmup import warm_up

LOG = logging.getLogger(__name__)
BITS = {'int8': 8, 'int4': 4}


def load_streams(
    name: str,
    settings: Sequence[StreamSettings],
    *,
    device: str = 'auto',
    dtype: str = 'auto',
    quantization: str = 'none',
    log: Callable[[str], object] = LOG.info,
) -> list[VideoStreamingInference]:
    """Load a model once, for several streams, and warm it up.

    Args:
        name: 'tiny', a model folder or a hub id.
        settings: those of each stream.
        device: 'auto', 'cpu', 'cuda', 'cuda:N' or 'balanced' (spread over all GPUs).
        dtype: 'auto', 'float32', 'bfloat16' or 'float16'.
        quantization: 'none', 'int8' or 'int4', of the decoder.
        log: is called with sentences that say what is done.

    Raises:
        StreamError: INVALID_REQUEST; the device is not there, there is no such dtype or
            quantization, or a setting does not suit the model.  OUT_OF_MEMORY.
        OSError: the model is not there, or the folder is not a model folder.
        ValueError: the model is of another architecture.

    """
    _one_of('quantization', quantization, QUANTIZATIONS)
    device = pick_device(device)
    number_format = pick_dtype(dtype, device)
    path = folder_of(name, log)
    spread = device == BALANCED
    where = f'over {torch.cuda.device_count()} GPUs' if spread else f'on {device}'
    log(f'Loading {path} as {str(number_format).removeprefix("torch.")} {where}.')
    began = time.monotonic()
    target = None if spread else device
    # Matrices are rounded one after another on their way to the device, which may have no room
    # for all of them before.
    direct = spread or quantization == 'none'
    model = load_model(path, dtype=number_format, device_map=device if direct else 'cpu')
    parameters = count_weights(model)
    if quantization != 'none':
        model.quantize(BITS[quantization], target)
        log(f'The decoder is in {quantization} after {time.monotonic() - began:.1f} s.')
    for sentence in model.generation.sentences:
        log(sentence)
    engines = open_streams(model, load_processor(path), settings, target)
    warm_up(engines, log)
    caches = [engine.get_cache_info() for engine in engines]
    log(
        f'Loaded {parameters / 1e6:,.1f} M parameters and '
        f'{_caches([cache.capacity for cache in caches])} '
        f'({sum(cache.memory_bytes for cache in caches) / 1e6:,.1f} MB){_views(engines)} in '
        f'{time.monotonic() - began:.1f} s.'
    )
    return engines


def folder_of(name: str, log: Callable[[str], object] = LOG.info) -> str:
    """Return the folder of a model; one that is on the hub only is fetched into its cache.

    What is on this machine is taken as it is, without a look at the hub.

    Args:
        name: 'tiny', a model folder or a hub id.
        log: is told of a download.

    Raises:
        OSError: there is no such model, or the hub cannot be reached.
        ValueError: it is of a family that is not run.

    """
    path = resolve_model(name)
    if not is_hub_id(name) or is_whole(path):
        return path
    log(f'Fetching {name} from the hub; streamvlm pull {name} would show how far it is.')
    return str(Download(name).finish())


def pick_device(wanted: str) -> str:
    """Return the device to run on, which exists; checked before a large model is loaded.

    Raises:
        StreamError: INVALID_REQUEST for a device that PyTorch does not know or see, or
            'balanced' without a GPU.

    """
    if wanted == 'auto':
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    check_placement(wanted)
    return wanted


def pick_dtype(wanted: str, device: str) -> torch.dtype:
    """Return the number format; for 'auto', the one that the device is fast in."""
    _one_of('dtype', wanted, DTYPES)
    if wanted == 'auto':
        return torch.float32 if device.startswith('cpu') else torch.bfloat16
    return {
        'float32': torch.float32,
        'bfloat16': torch.bfloat16,
        'float16': torch.float16,
    }[wanted]


def open_streams(
    model: StreamingModel,
    processor: Any,
    settings: Sequence[StreamSettings],
    device: str | None = None,
) -> list[VideoStreamingInference]:
    """Begin streams that share a model; each has a cache, positions and watches of its own.

    Args:
        model: the streaming model.
        processor: as ``VideoStreamingInference`` takes it.
        settings: those of each stream.
        device: where to move the model; None leaves it where it is.

    Raises:
        StreamError: OUT_OF_MEMORY when the caches do not fit the device together, before any of
            them is allocated; otherwise as ``VideoStreamingInference``.

    """
    model = move_model(model, device)
    own = as_stream_processor(processor, model.family)
    if len(settings) > 1:  # the stream itself checks a single cache, and says its seconds
        views = sum(each.open_views * view_tokens(each, own.pixels) for each in settings)
        check_all_fit(settings, model.layer_bytes, model.layer_devices, views)
    return [VideoStreamingInference(model, own, settings=each) for each in settings]


def _one_of(what: str, value: object, allowed: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'{what} is {value!r:.60}; choose one of {", ".join(allowed)}.',
        )


def _views(engines: Sequence[VideoStreamingInference]) -> str:
    """Say what the room for views takes."""
    rooms = [engine.questions.views.room for engine in engines]
    if not sum(room.places for room in rooms):
        return ''
    places, size = sum(room.places for room in rooms), sum(room.memory_bytes for room in rooms)
    return f', room for {places} open views ({size / 1e6:,.1f} MB)'


def _caches(tokens: Sequence[int]) -> str:
    if len(tokens) == 1:
        return f'a cache of {tokens[0]:,} tokens'
    if len(set(tokens)) == 1:
        return f'{len(tokens)} caches of {tokens[0]:,} tokens'
    return f'{len(tokens)} caches of {sum(tokens):,} tokens together'
