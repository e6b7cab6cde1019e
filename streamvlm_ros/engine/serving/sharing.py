# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several streams over one copy of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.kvcache.capacity import check_all_fit
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.devices import move_model
from streamvlm_ros.engine.models.processor import as_stream_processor
from streamvlm_ros.engine.serving.inference import VideoStreamingInference


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
    if len(settings) > 1:  # a single one is checked where it is made, by the seconds it holds
        check_all_fit(settings, model.layer_bytes, model.layer_devices)
    own = as_stream_processor(processor, model.family)
    return [VideoStreamingInference(model, own, settings=each) for each in settings]
