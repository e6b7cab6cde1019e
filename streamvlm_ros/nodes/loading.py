# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From checked parameters to engines. No ROS here: `streamvlm replay` loads the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import time
from typing import Any

import torch

from streamvlm_ros.engine import (
    BALANCED,
    check_placement,
    load_model,
    load_processor,
    open_streams,
    resolve_model,
    VideoStreamingInference,
    warm_up,
)
from streamvlm_ros.nodes.parameters.parameter import LONGEST
from streamvlm_ros.nodes.parameters.parameters import stream_settings
from streamvlm_ros.nodes.texts import sentence

BITS = {'int8': 8, 'int4': 4}


def load_engine(
    values: Mapping[str, Any], log: Callable[[str], object]
) -> VideoStreamingInference:
    """Load the model of some checked parameters, for one stream; see `load_engines`."""
    return load_engines([values], log)[0]


def load_engines(
    each: Sequence[Mapping[str, Any]], log: Callable[[str], object]
) -> list[VideoStreamingInference]:
    """Load a model once, for several streams.

    Args:
        each: of `parameters.check_values`, for every stream; model, device, dtype and
            quantization are those of the first.
        log: is told what happens, one sentence a call.

    Raises:
        StreamError: the device is not there, or a setting does not suit the model.
        OSError: the model is not there or is no model.
        ValueError: the model is of another architecture.

    """
    settings = [stream_settings(values) for values in each]
    device = pick_device(each[0]['device'])
    dtype = pick_dtype(each[0]['dtype'], device)
    path = resolve_model(each[0]['model'])
    spread = device if device == BALANCED else None
    where = f'over {torch.cuda.device_count()} GPUs' if spread else f'on {device}'
    log(f'Loading {sentence(path, LONGEST)} as {str(dtype).removeprefix("torch.")} {where}.')
    began = time.monotonic()
    model = load_model(path, dtype=dtype, device_map=spread)
    target = None if spread else device
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if each[0]['quantization'] != 'none':
        model.quantize(BITS[each[0]['quantization']], target)
        log(f'The decoder is in {each[0]["quantization"]} after '
            f'{time.monotonic() - began:.1f} s.')
    engines = open_streams(model, load_processor(path), settings, target)
    warm_up(engines, log)
    caches = [engine.get_cache_info() for engine in engines]
    tokens = f'{sum(cache.capacity for cache in caches):,} tokens'
    what = f'a cache of {tokens}' if len(caches) == 1 else f'{len(caches)} caches of {tokens}'
    log(
        f'Loaded {parameters / 1e6:,.1f} M parameters and {what} '
        f'({sum(cache.memory_bytes for cache in caches) / 1e6:,.1f} MB) in '
        f'{time.monotonic() - began:.1f} s.'
    )
    return engines


def pick_device(wanted: str) -> str:
    """Return the device to run on, which exists; checked before a large model is loaded.

    Raises:
        StreamError: INVALID_REQUEST for a device that PyTorch does not know or see, or
            'balanced' where it sees none.

    """
    if wanted == 'auto':
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    check_placement(wanted)
    return wanted


def pick_dtype(wanted: str, device: str) -> torch.dtype:
    """Return the number format; for 'auto', the one that the device is fast in."""
    if wanted == 'auto':
        return torch.float32 if device.startswith('cpu') else torch.bfloat16
    return {
        'float32': torch.float32,
        'bfloat16': torch.bfloat16,
        'float16': torch.float16,
    }[wanted]
