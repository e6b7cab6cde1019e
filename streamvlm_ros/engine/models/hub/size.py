# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a model takes of a device's memory, and what window is left; before it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import math
import os

import torch

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.kvcache.allocation import room_for
from streamvlm_ros.engine.kvcache.capacity import tokens_kept, wanted_slots
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.preprocessing import grid_of, ImageProcessorConfig
from streamvlm_ros.engine.models.registry import family_at
from streamvlm_ros.engine.models.view_size import view_tokens
from streamvlm_ros.engine.ops.quantization import is_quantized, quantized_bytes

CAMERA = (480, 640)  # height and width of the images that the window is told for
QUANTIZATIONS = ('none', 'int8', 'int4')
BITS = {'int8': 8, 'int4': 4}


@dataclasses.dataclass(frozen=True)
class Fit:
    """
    How a model fits a device.

    `weights` and `cache` are bytes, `slots` what the stream's settings ask for, `most` the slots
    that there is room for beside the weights and the views; None: the system does not say how
    much memory there is.
    """

    quantization: str
    weights: int
    cache: int
    slots: int
    most: int | None

    @property
    def fits(self) -> bool:
        """Whether weights and cache fit together."""
        return self.most is None or self.slots <= self.most


def build_empty(path: str | os.PathLike[str], dtype: torch.dtype) -> StreamingModel:
    """Return the model of a folder's config.json without its weights, on PyTorch's meta device.

    Raises:
        OSError, ValueError: as ``registry.family_at``, and what the family refuses.

    """
    with torch.device('meta'):
        return family_at(path).build(path).to(dtype)


def quantizations_of(model: StreamingModel) -> Sequence[str]:
    """Return the quantizations that a model can be run with."""
    return QUANTIZATIONS[:1] if is_quantized(model) else QUANTIZATIONS


def fit(
    model: StreamingModel,
    settings: StreamSettings,
    device: torch.device,
    quantization: str,
    pixels: ImageProcessorConfig,
) -> Fit:
    """Return how a model without weights would fit a device; ``pixels`` is its preprocessing."""
    bits = BITS.get(quantization)
    weights = quantized_bytes(model, model.parts.layers, model.parts.projections, bits)
    devices = [device] * len(model.parts.layers)
    token_bytes = model.layer_bytes * len(devices)
    slots = wanted_slots(settings, token_bytes)
    room, _ = room_for(model.layer_bytes, devices, taken=weights)
    views = settings.open_views * view_tokens(settings, pixels)
    most = None if room is None else max(0, room - views)
    return Fit(quantization, weights, slots * token_bytes, slots, most)


def seconds_of(slots: int, settings: StreamSettings, pixels: ImageProcessorConfig) -> float:
    """Return how much of a camera's video so many slots keep; see ``CAMERA``."""
    tokens = math.prod(grid_of(CAMERA, pixels.temporal_patch_size, pixels))
    patches = tokens_kept(slots, settings.slack) // tokens
    return patches * pixels.temporal_patch_size / settings.sample_rate
