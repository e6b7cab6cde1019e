# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a model is on this machine, whole, of a family that is run, and fits the device."""

from __future__ import annotations

from collections.abc import Iterator

from streamvlm_ros.doctor.finding import bad, Finding, ok


def check_model(name: str, device: str) -> Iterator[Finding]:
    """Check a model's files and its size; nothing is loaded and nothing is fetched.

    Args:
        name: 'tiny', a folder or a hub id.
        device: as the node's parameter has it.

    """
    try:
        yield from _check(name, device)
    except (ImportError, OSError, ValueError) as error:
        yield bad('Model', ' '.join(str(error).split()), '')


def _check(name: str, device: str) -> Iterator[Finding]:
    import torch

    from streamvlm_ros.engine import (
        load_processor,
        pick_device,
        resolve_model,
        StreamError,
        StreamSettings,
    )
    from streamvlm_ros.engine.models.folder.checkpoint import check_checkpoint
    from streamvlm_ros.engine.models.folder.weight_files import is_whole
    from streamvlm_ros.engine.models.hub.size import build_empty, fit, quantizations_of
    from streamvlm_ros.engine.serving.loading import pick_dtype

    path = resolve_model(name)
    check_checkpoint(path)
    if not is_whole(path):
        yield bad(
            'Model', f'{name} lacks some of its files of weights.', f'streamvlm pull {name}.'
        )
        return
    try:
        target = pick_device(device)
    except StreamError as error:
        yield bad('Model', str(error), '')
        return
    model = build_empty(path, pick_dtype('auto', target))
    settings, pixels = StreamSettings(), load_processor(path).pixels
    found = [
        fit(model, settings, torch.device(target), each, pixels)
        for each in quantizations_of(model)
    ]
    best = next((each for each in found if each.fits), None)
    least = min(each.weights + each.cache for each in found)
    if best is None:
        yield bad(
            'Model',
            f'{name} does not fit {target}: with its cache it takes {least / 1e9:.1f} GB.',
            'Take a smaller model, a smaller capacity, or free memory of the device.',
        )
        return
    size = best.weights + best.cache
    how = '' if best.quantization == 'none' else f', with quantization {best.quantization}'
    yield ok(
        'Model',
        f'{name} fits {target}: {size / 1e9:.2f} GB with a cache of {best.slots} tokens{how}.',
    )
