# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From checked parameters to an engine. No ROS here: `streamvlm replay` loads the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import time
from typing import Any

import torch

from streamvlm_ros.engine import (
    check_device,
    load_processor,
    resolve_model,
    StreamQwenModel,
    VideoStreamingInference,
    warm_up,
)
from streamvlm_ros.nodes.parameters import stream_settings


def load_engine(
    values: Mapping[str, Any], log: Callable[[str], object]
) -> VideoStreamingInference:
    """Load the model of some checked parameters.

    Args:
        values: of `parameters.check_values`.
        log: is told what happens, one sentence a call.

    Raises:
        StreamError: the device is not there, or a setting does not suit the model.
        OSError: the model is not there or is no model.
        ValueError: the model is of another architecture.

    """
    settings = stream_settings(values)
    device = pick_device(values['device'])
    dtype = pick_dtype(values['dtype'], device)
    path = resolve_model(values['model'])
    log(f'Loading {path} as {str(dtype).removeprefix("torch.")} on {device}.')
    began = time.monotonic()
    model = StreamQwenModel.from_pretrained(path, dtype=dtype)
    engine = VideoStreamingInference(model, load_processor(path), device, settings=settings)
    warm_up(engine, log)
    info = engine.get_cache_info()
    log(
        f'Loaded {model.num_parameters() / 1e6:,.1f} M parameters and a cache of '
        f'{info.capacity:,} '
        f'tokens ({info.memory_bytes / 1e6:,.1f} MB) in {time.monotonic() - began:.1f} s.'
    )
    return engine


def pick_device(wanted: str) -> str:
    """Return the device to run on, which exists; checked before a large model is loaded.

    Raises:
        StreamError: INVALID_REQUEST for a device that PyTorch does not know or see.

    """
    if wanted == 'auto':
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    check_device(wanted)
    return wanted


def pick_dtype(wanted: str, device: str) -> torch.dtype:
    """Return the number format; for 'auto', the one that the device is fast in."""
    if wanted == 'auto':
        return torch.float32 if torch.device(device).type == 'cpu' else torch.bfloat16
    return {
        'float32': torch.float32,
        'bfloat16': torch.bfloat16,
        'float16': torch.float16,
    }[wanted]
