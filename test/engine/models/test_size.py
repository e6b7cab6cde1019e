# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a model takes is told before it is loaded, and is what it takes then."""

from __future__ import annotations

import pytest
import torch

from streamvlm_ros.engine import load_model, load_processor, resolve_model, StreamSettings
from streamvlm_ros.engine.kvcache import allocation
from streamvlm_ros.engine.models.hub.size import build_empty, fit, seconds_of
from streamvlm_ros.engine.ops.quantization import weight_bytes

CPU = torch.device('cpu')


@pytest.mark.parametrize(('quantization', 'bits'), [('none', 0), ('int8', 8), ('int4', 4)])
def test_weights_take_what_was_told(quantization: str, bits: int) -> None:
    path = resolve_model('tiny')
    told = fit(
        build_empty(path, torch.bfloat16),
        StreamSettings(),
        CPU,
        quantization,
        load_processor(path).pixels,
    )
    model = load_model(path, dtype=torch.bfloat16)
    if bits:
        model.quantize(bits)
    assert told.weights == weight_bytes(model)
    assert told.cache == 16384 * model.layer_bytes * len(model.parts.layers)


def test_nothing_is_allocated() -> None:
    model = build_empty(resolve_model('tiny'), torch.float16)
    assert {parameter.device.type for parameter in model.parameters()} == {'meta'}
    assert model.dtype == torch.float16


@pytest.mark.parametrize(('spare', 'fits'), [(1.0, False), (1.02, True)])
def test_weights_and_cache_have_to_fit_together(
    monkeypatch: pytest.MonkeyPatch, spare: float, fits: bool
) -> None:
    """As the engine counts: a tenth of what is left beside the weights stays free."""
    folder = resolve_model('tiny')
    model, pixels = build_empty(folder, torch.bfloat16), load_processor(folder).pixels
    settings = StreamSettings(open_views=0)
    told = fit(model, settings, CPU, 'none', pixels)
    needed = told.weights + int(told.cache / 0.9 * spare) - 1
    monkeypatch.setattr(allocation, 'available_bytes', lambda _: needed)
    found = fit(model, settings, CPU, 'none', pixels)
    assert found.fits == fits
    assert found.most is not None and (found.most >= found.slots) == fits
    # What views take is not there for the cache.
    views = StreamSettings(view_tokens=100, open_views=2)
    assert fit(model, views, CPU, 'none', pixels).most == found.most - 200


def test_the_window_of_a_camera() -> None:
    pixels = load_processor(resolve_model('tiny')).pixels
    settings = StreamSettings(sample_rate=1.0, slack=8)
    # 640 x 480 are 12 tokens for two frames.
    assert seconds_of(960, settings, pixels) == 840 // 12 * 2
