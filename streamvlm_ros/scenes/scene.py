# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Robot-eye scenes with truth: things that stand, pass, enter, leave and return, and a light."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from streamvlm_ros.scenes.render import (
    FrameState,
    Look,
    make_background,
    make_grain,
    render_frame,
    Sprite,
)
from streamvlm_ros.scenes.things import COLOURS, Light, LIGHT_COLOURS, Seconds, SHAPES, Thing

# Scenes from this seed on are held out for evaluation.
HELD_OUT_SEED = 1_000_000_000
START_NS = 1_700_000_000_000_000_000
# Starts of two events are at least this far apart, so that their order can be seen at 2 fps.
EVENT_GAP_S = 1.7
# Where things come to stand: rows (frame heights) and ranges of the centre (frame widths).  No two
# stand in the same place, so that nothing that stays is hidden for good.
ROWS = (0.47, 0.81)
PLACES = ((0.17, 0.25), (0.45, 0.55), (0.75, 0.83))


@dataclasses.dataclass
class Scene:
    """
    A video with its truth; `frames` are drawn when first asked for.

    `times` are the frames' seconds. `pause`: behind so many seconds the stamps are so many
    seconds later; no frame is taken and nothing happens meanwhile.
    """

    seed: int
    seconds: float
    fps: float
    size: tuple[int, int]
    times: list[float]
    pause: tuple[float, float]
    things: tuple[Thing, ...]
    light: Light | None
    pan: tuple[float, float, float]
    look: Look

    @property
    def stamps_ns(self) -> list[int]:
        """Every frame's stamp, in nanoseconds."""
        return [self.stamp_ns(seconds) for seconds in self.times]

    def stamp_ns(self, seconds: float) -> int:
        """Return the stamp of a moment."""
        behind, length = self.pause
        return START_NS + round((seconds + (length if seconds > behind else 0.0)) * 1e9)

    def elapsed(self, since: float, until: float) -> float:
        """Return the seconds between two moments by the stamps, pauses and all."""
        return (self.stamp_ns(until) - self.stamp_ns(since)) / 1e9

    def camera(self, seconds: Seconds) -> Any:
        """Return how far the camera has panned, in frame widths to the right."""
        amplitude, period, phase = self.pan
        return amplitude * np.sin(2.0 * np.pi * seconds / period + phase)

    def screen_x(self, thing: Thing, seconds: Seconds) -> Any:
        """Return where the thing's centre is in the picture, in frame widths."""
        return thing.place(seconds) - self.camera(seconds)

    def visible_part(self, thing: Thing, seconds: Seconds) -> Any:
        """Return the share of the thing's width that is inside the picture, 0 to 1."""
        x = self.screen_x(thing, seconds)
        inside = np.minimum(1.0, x + thing.radius) - np.maximum(0.0, x - thing.radius)
        return np.maximum(0.0, inside / (2.0 * thing.radius))

    def state(self, seconds: float) -> FrameState:
        """Return what there is to draw at `seconds`."""
        sprites = tuple(
            Sprite(
                t.shape, t.colour, float(self.screen_x(t, seconds)), t.row, t.radius, t.radius_y
            )
            for t in sorted(self.things, key=lambda t: t.row)
            if self.visible_part(t, seconds) > 0.0
        )
        light = None
        if self.light is not None:
            light = (self.light.x - float(self.camera(seconds)), self.light.colour(seconds))
        return FrameState(seconds, float(self.camera(seconds)), sprites, light)

    def frames_at(
        self, stamps_s: list[float], size: tuple[int, int], quality: int | None = None
    ) -> list[np.ndarray]:
        """Draw the scene at the given seconds and (width, height); RGB uint8 [h, w, 3] each."""
        look = self.look if quality is None else dataclasses.replace(self.look, quality=quality)
        rng = np.random.default_rng((self.seed, 7))
        background = make_background(look, size, rng)
        grain = make_grain(look, size, rng)
        return [render_frame(self.state(s), look, background, grain, size, rng) for s in stamps_s]

    @functools.cached_property
    def frames(self) -> list[np.ndarray]:
        """All frames, RGB uint8 [h, w, 3]."""
        return self.frames_at(self.times, self.size)


def _event_times(rng: np.random.Generator, seconds: float) -> list[float]:
    """Return sorted starts of events, `EVENT_GAP_S` apart at least."""
    room = max(0.0, seconds - 2.0)
    most = int(room / EVENT_GAP_S) + (1 if seconds >= 3.0 else 0)
    count = int(rng.integers(0, min(most, 8) + 1)) if rng.random() < 0.3 else min(most, 8)
    if count == 0:
        return []
    free = max(0.0, room - EVENT_GAP_S * (count - 1))
    offsets = np.sort(rng.random(count)) * free
    return [1.0 + float(o) + EVENT_GAP_S * i for i, o in enumerate(offsets)]


def _path(
    rng: np.random.Generator, kind: str, events: list[float], stand: float, radius: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the knots of a path of `kind`, which takes its events from the front of `events`."""
    # Far enough outside to stay invisible whatever the camera does.
    left, right = -0.1 - radius, 1.1 + radius
    side, other = (left, right) if rng.random() < 0.5 else (right, left)
    speed = float(rng.uniform(0.28, 0.5))
    if kind == 'stands':
        return (0.0,), (stand,)
    start = events.pop(0)
    if kind == 'enters':
        return (start, start + abs(stand - side) / speed), (side, stand)
    if kind == 'leaves':
        return (start, start + abs(stand - side) / speed), (stand, side)
    if kind == 'passes':
        return (start, start + abs(other - side) / speed), (side, other)
    gone = start + abs(stand - side) / speed
    back = max(events.pop(0), gone + 0.5)
    return (start, gone, back, back + abs(stand - side) / speed), (stand, side, side, stand)


def _make_things(
    rng: np.random.Generator, events: list[float], aspect: float
) -> tuple[Thing, ...]:
    """Return up to five things of different colours that use up most of `events`."""
    colours = rng.permutation(len(COLOURS))
    places = rng.permutation(len(ROWS) * len(PLACES))
    short = min(1.0, 1.0 / aspect)
    things: list[Thing] = []
    for number in range(int(rng.integers(1, 6))):
        row, zone = divmod(int(places[number]), len(PLACES))
        size = float(rng.uniform(0.13, 0.16)) * (0.8 + 0.3 * ROWS[row])
        radius, radius_y = size * short, size * short * aspect
        kinds = ['stands']
        if events:
            kinds += ['enters', 'enters', 'leaves', 'passes']
        if len(events) > 1:
            kinds.append('returns')
        kind = str(rng.choice(kinds))
        times, knots = _path(rng, kind, events, float(rng.uniform(*PLACES[zone])), radius)
        things.append(
            Thing(
                COLOURS[colours[number]],
                str(rng.choice(SHAPES)),
                kind,
                times,
                knots,
                ROWS[row],
                radius,
                radius_y,
            )
        )
    return tuple(things)


def _make_light(rng: np.random.Generator, events: list[float]) -> Light:
    """Return a light that changes at each of `events`, never to the colour it has."""
    colours = [str(rng.choice(LIGHT_COLOURS))]
    for _ in events:
        colours.append(str(rng.choice([c for c in LIGHT_COLOURS if c != colours[-1]])))
    return Light(float(rng.choice([0.18, 0.5, 0.82])), (0.0, *events), tuple(colours))


def _times(rng: np.random.Generator, seconds: float, fps: float) -> list[float]:
    """Return strictly rising seconds with a jitter of up to a tenth of the period, from 0."""
    count = max(2, int(round(seconds * fps)))
    times = (np.arange(count) + rng.uniform(-0.1, 0.1, count)) / fps
    return [float(t) for t in times - times[0]]


def make_scene(
    seed: int,
    *,
    seconds: float = 12.0,
    fps: float = 4.0,
    size: tuple[int, int] = (320, 240),
    pause: float = 0.0,
) -> Scene:
    """
    Make the scene of a seed.

    :param seconds: Length, 2 to 60.
    :param fps: Frames per second, 2 to 8.
    :param size: Width and height in pixels.
    :param pause: Seconds between two frames somewhere in which the world stands still.
    :raises ValueError: When length or rate are not positive.
    """
    if seconds <= 0.0 or fps <= 0.0:
        raise ValueError('seconds and fps must be positive')
    rng = np.random.default_rng(seed)
    events = _event_times(rng, seconds)
    light = None
    if rng.random() < 0.75:
        share = int(rng.integers(0, min(3, len(events)) + 1))
        picked = set(rng.permutation(len(events))[:share].tolist())
        light = _make_light(rng, [e for i, e in enumerate(events) if i in picked])
        events = [e for i, e in enumerate(events) if i not in picked]
    things = _make_things(rng, events, size[0] / size[1])
    amplitude = float(rng.uniform(0.02, 0.06)) if rng.random() < 0.4 else 0.0
    pan = (amplitude, float(rng.uniform(10.0, 20.0)), float(rng.uniform(0.0, 6.28)))
    times = _times(rng, seconds, fps)
    # Between two temporal patches: the two frames of one are never that far apart.
    middle = 2 * int(np.random.default_rng((seed, 31)).integers(1, max(2, len(times) // 2))) - 1
    return Scene(
        seed,
        seconds,
        fps,
        size,
        times,
        (times[min(middle, len(times) - 1)], pause),
        things,
        light,
        pan,
        Look.random(rng),
    )
