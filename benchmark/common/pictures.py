# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures that a resizing filter can be told apart by."""

from __future__ import annotations

import numpy as np


def natural(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return soft shapes under a little noise, as a camera sees them."""
    rng = np.random.default_rng(seed)
    y, x = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
    levels = np.full((height, width, 3), 128.0)
    for frequency in (1, 2, 5, 11, 23):
        phase, along, across = rng.uniform(0, 2 * np.pi, (3, 1, 1, 3))
        levels += 90 / frequency * np.sin(2 * np.pi * frequency * (x * along + y * across) + phase)
    levels += rng.normal(0, 3, levels.shape)
    return levels.clip(0, 255).astype(np.uint8)


def hard_edged(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return black and white blocks, stripes and dots; the filter overshoots at their edges."""
    rng = np.random.default_rng(seed)
    y, x = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    blocks = (x // 9 + y // 7) % 2
    stripes = np.where(x > width // 2, (x + y) % 2, blocks)
    dots = rng.random((height, width, 3)) < 0.02
    return np.where(dots, 1 - stripes, stripes).astype(np.uint8) * 255


def ramp(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return greys from black to white, first along the rows, then along the columns."""
    y, x = np.linspace(0, 255, height)[:, None, None], np.linspace(0, 255, width)[None, :, None]
    rows = np.arange(height)[:, None, None] < height // 2
    return np.broadcast_to(np.where(rows, x, y), (height, width, 3)).astype(np.uint8)


PICTURES = {'natural': natural, 'hard-edged': hard_edged, 'ramp': ramp}
