# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Draws one frame of a scene: textured room, shaded things, light, noise, blur and JPEG."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

RGB = {
    'red': (0.86, 0.08, 0.10),
    'orange': (1.0, 0.50, 0.05),
    'yellow': (0.98, 0.90, 0.10),
    'green': (0.08, 0.66, 0.14),
    'cyan': (0.10, 0.85, 0.90),
    'blue': (0.08, 0.16, 0.88),
    'purple': (0.58, 0.12, 0.72),
    'white': (0.97, 0.97, 0.97),
}
# The background is this much wider than the frame on either side, for panning.
MARGIN = 0.12
# Pixels by which the noise is larger than the frame, so that each frame cuts another part.
GRAIN = 32


@dataclasses.dataclass(frozen=True)
class Look:
    """Everything about a scene's pictures that the questions are not about."""

    wall: tuple[float, float, float]
    floor: tuple[float, float, float]
    pattern: str
    texture: float
    horizon: float
    gain: float
    flicker: float
    noise: float
    blur: float
    quality: int

    @classmethod
    def random(cls, rng: np.random.Generator) -> Look:
        """Draw a look: muted walls and floors, so that the things' colours stay clear."""

        def muted(low: float, high: float) -> tuple[float, float, float]:
            tint = rng.uniform(low, high) + rng.uniform(-0.05, 0.05, 3)
            return float(tint[0]), float(tint[1]), float(tint[2])

        return cls(
            wall=muted(0.3, 0.6),
            floor=muted(0.2, 0.5),
            pattern=str(rng.choice(['plain', 'tiles', 'boards', 'check'])),
            texture=float(rng.uniform(0.02, 0.10)),
            horizon=float(rng.uniform(0.24, 0.34)),
            gain=float(rng.uniform(0.8, 1.1)),
            flicker=float(rng.uniform(0.0, 0.05)),
            noise=float(rng.uniform(0.0, 0.03)),
            blur=float(rng.choice([0.0, 0.0, 0.5, 0.8])),
            quality=int(rng.integers(50, 101)),
        )


@dataclasses.dataclass(frozen=True)
class Sprite:
    """A thing as drawn: centre and radii in frame widths (x) and heights (y)."""

    shape: str
    colour: str
    x: float
    y: float
    radius_x: float
    radius_y: float


@dataclasses.dataclass(frozen=True)
class FrameState:
    """What is to be seen at one moment; `light` is its place and colour."""

    seconds: float
    camera: float
    sprites: tuple[Sprite, ...]
    light: tuple[float, str] | None


def make_background(look: Look, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return the room, float32 [h, w (1 + 2 MARGIN), 3], values 0 to 1."""
    width, height = int(size[0] * (1.0 + 2.0 * MARGIN)) + 2, size[1]
    y = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None]
    x = np.linspace(-1.2, 1.2, width, dtype=np.float32)[None, :]
    floor = y > look.horizon
    depth = 1.0 / np.maximum(y - look.horizon + 0.15, 0.05)
    pattern = np.zeros((height, width), np.float32)
    if look.pattern != 'plain':
        across = np.floor(x * depth * 1.5).astype(int)
        along = np.floor(depth * 2.0).astype(int)
        odd = {
            'tiles': (across % 3 == 0) | (along % 3 == 0),
            'boards': across % 2 == 0,
            'check': (across + along) % 2 == 0,
        }[look.pattern]
        pattern = np.where(odd, 0.05, -0.05).astype(np.float32)
    image = (
        np.where(
            floor[..., None], np.asarray(look.floor, np.float32), np.asarray(look.wall, np.float32)
        )
        + (pattern * floor)[..., None]
    )
    coarse = rng.normal(0.0, look.texture, (6, 9)).astype(np.float32)
    fine = rng.normal(0.0, look.texture / 2.0, (24, 32)).astype(np.float32)
    texture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    texture = texture + cv2.resize(fine, (width, height))
    return np.clip(image + texture[..., None], 0.0, 0.8).astype(np.float32)


def _inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return how deep (u, v) lies inside the unit shape; negative outside. v points down."""
    if shape == 'ball':
        return 1.0 - np.sqrt(u * u + v * v)
    if shape == 'box':
        return 0.85 - np.maximum(np.abs(u), np.abs(v))
    if shape == 'cone':
        return np.minimum(0.9 - v, (v + 1.0 - 1.9 * np.abs(u)) * 0.47)
    if shape == 'ring':
        return 0.28 - np.abs(np.sqrt(u * u + v * v) - 0.72)
    upright = np.minimum(0.3 - np.abs(u), 0.95 - np.abs(v))
    return np.maximum(upright, np.minimum(0.3 - np.abs(v), 0.95 - np.abs(u)))


def _draw(image: np.ndarray, sprite: Sprite) -> None:
    """Paint a shaded, dark-edged, anti-aliased thing into float32 [h, w, 3]."""
    height, width = image.shape[:2]
    rx, ry = sprite.radius_x * width, sprite.radius_y * height
    x0, x1 = max(0, int(sprite.x * width - rx) - 1), min(width, int(sprite.x * width + rx) + 2)
    y0, y1 = max(0, int(sprite.y * height - ry) - 1), min(height, int(sprite.y * height + ry) + 2)
    if x0 >= x1 or y0 >= y1:
        return
    u = ((np.arange(x0, x1, dtype=np.float32) + 0.5 - sprite.x * width) / rx)[None, :]
    v = ((np.arange(y0, y1, dtype=np.float32) + 0.5 - sprite.y * height) / ry)[:, None]
    depth = _inside(sprite.shape, u, v) * min(rx, ry)
    alpha = np.clip(depth + 0.5, 0.0, 1.0)[..., None]
    edge = np.clip(depth - 0.5, 0.0, 1.0)[..., None] * 0.6 + 0.4
    shade = (0.92 - 0.10 * (u + v))[..., None]
    colour = np.asarray(RGB[sprite.colour], np.float32) * edge * np.clip(shade, 0.7, 1.0)
    patch = image[y0:y1, x0:x1]
    patch += alpha * (colour - patch)


def _draw_light(image: np.ndarray, x: float, colour: str) -> None:
    """Paint the signal light: a bright disc in a dark housing at the top of the picture."""
    height, width = image.shape[:2]
    radius = 0.085 * min(width, height)
    half = int(round(radius * 1.35))
    cx, cy = int(round(x * width)), half + 1
    image[max(0, cy - half) : cy + half, max(0, cx - half) : max(0, cx + half)] = 0.04
    _draw(image, Sprite('ball', colour, cx / width, cy / height, radius / width, radius / height))


def make_grain(look: Look, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return a camera's noise, float32 [h + GRAIN, w + GRAIN, 3], to cut each frame's from."""
    shape = (size[1] + GRAIN, size[0] + GRAIN, 3)
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(look.noise * 255.0)


def render_frame(
    state: FrameState,
    look: Look,
    background: np.ndarray,
    grain: np.ndarray,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw one frame, RGB uint8 [h, w, 3], on a background and grain made for the same size."""
    width = size[0]
    left = int(round((MARGIN + state.camera) * width))
    image = background[:, left : left + width].copy()
    for sprite in state.sprites:
        _draw(image, sprite)
    if state.light is not None:
        _draw_light(image, *state.light)
    if look.blur > 0.0:
        image = cv2.GaussianBlur(image, (0, 0), look.blur * width / 160.0)
    gain = look.gain * (1.0 + look.flicker * float(np.sin(1.7 * state.seconds)))
    image *= gain * 255.0
    if look.noise > 0.0:
        top, side = rng.integers(0, GRAIN, 2)
        image += grain[top : top + size[1], side : side + width]
    picture = np.clip(image, 0.0, 255.0).astype(np.uint8)
    # Colour order does not matter to the codec as long as it is the same both ways.
    _, coded = cv2.imencode('.jpg', picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, look.quality])
    decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return np.ascontiguousarray(decoded[..., ::-1])
