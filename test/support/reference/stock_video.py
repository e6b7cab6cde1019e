# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The stock video processors, where torchvision is not installed too.

transformers' own code runs: bounds, resizing's sizes, the fused rescaling and normalisation, the
order of patches.  The three functions that it takes from torchvision are then stood in for by what
torchvision does with bytes on a CPU (transforms/v2/functional/_geometry.py and _misc.py).
"""

from __future__ import annotations

from collections.abc import Sequence
import enum
import importlib
import importlib.util
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

# Of Qwen2-VL and Qwen2.5-VL, and of Qwen3-VL.
QWEN2_VL = 'qwen2_vl', 'Qwen2VLVideoProcessor'
QWEN3_VL = 'qwen3_vl', 'Qwen3VLVideoProcessor'


class InterpolationMode(enum.Enum):
    """Those that torchvision has for tensors, as far as they are used here."""

    BILINEAR = 'bilinear'
    BICUBIC = 'bicubic'
    LANCZOS = 'lanczos'


def resize(
    image: torch.Tensor, size: Sequence[int], interpolation: InterpolationMode, antialias: bool
) -> torch.Tensor:
    """Resize bytes [..., 3, h, w] to bytes."""
    assert image.dtype == torch.uint8 and antialias
    flat = image.flatten(0, -4)
    out = functional.interpolate(flat, tuple(size), mode=interpolation.value, antialias=True)
    return out.unflatten(0, image.shape[:-3])


def normalize(
    image: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, inplace: bool = False
) -> torch.Tensor:
    """Subtract the mean and divide by the standard deviation, channel by channel."""
    mean, std = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    return (image.sub_(mean) if inplace else image.sub(mean)).div_(std)


def video_processor(
    monkeypatch: pytest.MonkeyPatch, kind: tuple[str, str] = QWEN2_VL, **settings: Any
) -> Any:
    """Return a stock video processor of a kind with such settings."""
    family, name = kind
    module_name = f'transformers.models.{family}.video_processing_{family}'
    if importlib.util.find_spec('torchvision') is not None:
        return getattr(importlib.import_module(module_name), name)(**settings)
    names = [
        'torchvision',
        'torchvision.transforms',
        'torchvision.transforms.v2',
        'torchvision.transforms.v2.functional',
    ]
    modules = [types.ModuleType(name) for name in names]
    for module, parent in zip(modules[1:], modules):
        setattr(parent, module.__name__.rpartition('.')[2], module)
    stand_in: Any = modules[-1]
    stand_in.InterpolationMode = InterpolationMode
    stand_in.resize, stand_in.normalize = resize, normalize
    stand_in.grayscale_to_rgb = lambda image: image
    with monkeypatch.context() as imports:
        for module in modules:
            imports.setitem(sys.modules, module.__name__, module)
        # Anew, so that it takes this stand-in.
        imports.delitem(sys.modules, module_name, raising=False)
        made = importlib.import_module(module_name)
    for backend in ('video_processing_utils', 'image_processing_backends'):
        module = importlib.import_module(f'transformers.{backend}')
        monkeypatch.setattr(module, 'tvF', stand_in, raising=False)
    # 3 is bicubic in files.
    modes = {3: InterpolationMode.BICUBIC}
    monkeypatch.setattr(module, 'pil_torch_interpolation_mapping', modes, raising=False)
    return getattr(made, name)(**settings)


def stock_video(
    processor: Any, frames: Sequence[np.ndarray], **settings: Any
) -> tuple[torch.Tensor, list[int]]:
    """Return patches and grid, before merging, of RGB uint8 frames [h, w, 3] of one video."""
    video = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    out = processor([video], return_tensors='pt', do_sample_frames=False, **settings)
    return out['pixel_values_videos'], out['video_grid_thw'][0].tolist()
