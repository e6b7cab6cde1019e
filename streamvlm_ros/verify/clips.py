# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Clips to compare on: a drawn scene, hard edges and soft noise, each with stamps that jitter."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from streamvlm_ros.scenes.scene import HELD_OUT_SEED, make_scene

QUESTION = 'Which object left last?'
CHOICE_QUESTION = 'What colour is the light now?'
CHOICES = ('red', 'green', 'blue')
RATE = 2.0  # frames a second


@dataclasses.dataclass(frozen=True)
class Clip:
    """Frames of one size.

    Attributes:
        name: for people.
        frames: RGB uint8 [h, w, 3] each.
        stamps_ns: their times, rising.

    """

    name: str
    frames: list[np.ndarray]
    stamps_ns: list[int]


def generated(quick: bool = False) -> list[Clip]:
    """Return the clips that need no file; `quick`: fewer and shorter ones."""
    if quick:
        return [drawn_scene(8), hard_edges(7)]
    return [drawn_scene(16), hard_edges(15), soft_noise(16)]


def drawn_scene(count: int) -> Clip:
    """Return a room with things that come and go, and a light."""
    scene = make_scene(HELD_OUT_SEED, seconds=count / RATE, fps=RATE)
    return Clip('drawn scene', scene.frames[:count], scene.stamps_ns[:count])


def hard_edges(count: int) -> Clip:
    """Return black, white and fully coloured blocks of a few pixels: the worst for resizing.

    An odd number of frames lets the last one be completed by repeating it.
    """
    rng = np.random.default_rng(1)
    small = 255 * rng.integers(0, 2, (count, 67, 100, 3), np.uint8)
    return Clip('hard edges', [_enlarged(each, 300, 200) for each in small], _stamps(count))


def soft_noise(count: int) -> Clip:
    """Return noise with as much of each scale as natural pictures have, which drifts."""
    rng = np.random.default_rng(2)
    wide = np.zeros((360, 640 + 4 * count, 3), np.float32)
    for side in (4, 8, 16, 32, 64, 128):
        grain = rng.normal(0.0, 1.0 / side, (side, 2 * side, 3)).astype(np.float32)
        wide += cv2.resize(grain, wide.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    low, high = wide.min(), wide.max()
    pixels = (255 * (wide - low) / (high - low)).astype(np.uint8)
    frames = [np.ascontiguousarray(pixels[:, 4 * i : 4 * i + 640]) for i in range(count)]
    return Clip('soft noise', frames, _stamps(count))


def _enlarged(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST))


def _stamps(count: int) -> list[int]:
    """Return nanoseconds about `RATE` a second, with jitter and one gap."""
    rng = np.random.default_rng(count)
    seconds = (np.arange(count) + rng.uniform(-0.2, 0.2, count)) / RATE
    seconds[count // 2 :] += 1.7
    return [1_000_000_000 + round(1e9 * each) for each in seconds - seconds[0]]
