# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Robot-eye scenes with truth: things that stand, pass, enter, leave and return, and a light."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from training.render import FrameState, Look, make_background, render_frame, Sprite

COLOURS = ('red', 'orange', 'yellow', 'green', 'cyan', 'blue', 'purple', 'white')
SHAPES = ('ball', 'box', 'cone', 'ring', 'cross')
LIGHT_COLOURS = ('red', 'yellow', 'green', 'blue')
START_NS = 1_700_000_000_000_000_000
# Starts of two events are at least this far apart, so that their order can be seen at 2 fps.
EVENT_GAP_S = 1.7
ROWS = (0.40, 0.55, 0.70, 0.85)


@dataclasses.dataclass(frozen=True)
class Thing:
    """
    One object: what it looks like and where it is at any time.

    `times` (seconds) and `places` (centre, in frame widths, camera at rest) are the knots of a
    piecewise linear path; `radius` is in frame widths, `row` and `radius_y` in frame heights.
    """

    colour: str
    shape: str
    kind: str
    times: tuple[float, ...]
    places: tuple[float, ...]
    row: float
    radius: float
    radius_y: float

    @property
    def name(self) -> str:
        """The colour and the shape, unique in a scene."""
        return f'{self.colour} {self.shape}'

    def place(self, seconds: float) -> float:
        """Return the centre at `seconds`, in frame widths, camera at rest."""
        return float(np.interp(seconds, self.times, self.places))


@dataclasses.dataclass(frozen=True)
class Light:
    """The signal light: its place and, from each of `times` (seconds, first 0) on, its colour."""

    x: float
    times: tuple[float, ...]
    colours: tuple[str, ...]

    def colour(self, seconds: float) -> str:
        """Return the colour at `seconds`."""
        return self.colours[int(np.searchsorted(self.times, seconds, side='right')) - 1]


@dataclasses.dataclass
class Scene:
    """A video with its truth; `frames` are drawn when first asked for."""

    seed: int
    seconds: float
    fps: float
    size: tuple[int, int]
    stamps_ns: list[int]
    things: tuple[Thing, ...]
    light: Light | None
    pan: tuple[float, float, float]
    look: Look

    def camera(self, seconds: float) -> float:
        """Return how far the camera has panned, in frame widths to the right."""
        amplitude, period, phase = self.pan
        return amplitude * float(np.sin(2.0 * np.pi * seconds / period + phase))

    def screen_x(self, thing: Thing, seconds: float) -> float:
        """Return where the thing's centre is in the picture, in frame widths."""
        return thing.place(seconds) - self.camera(seconds)

    def visible_part(self, thing: Thing, seconds: float) -> float:
        """Return the share of the thing's width that is inside the picture, 0 to 1."""
        x = self.screen_x(thing, seconds)
        inside = min(1.0, x + thing.radius) - max(0.0, x - thing.radius)
        return max(0.0, inside / (2.0 * thing.radius))

    def state(self, seconds: float) -> FrameState:
        """Return what there is to draw at `seconds`."""
        sprites = tuple(
            Sprite(t.shape, t.colour, self.screen_x(t, seconds), t.row, t.radius, t.radius_y)
            for t in sorted(self.things, key=lambda t: t.row)
            if self.visible_part(t, seconds) > 0.0
        )
        light = None
        if self.light is not None:
            light = (self.light.x - self.camera(seconds), self.light.colour(seconds))
        return FrameState(seconds, self.camera(seconds), sprites, light)

    def frames_at(
        self, stamps_s: list[float], size: tuple[int, int], quality: int | None = None
    ) -> list[np.ndarray]:
        """Draw the scene at the given seconds and (width, height); RGB uint8 [h, w, 3] each."""
        look = self.look if quality is None else dataclasses.replace(self.look, quality=quality)
        rng = np.random.default_rng((self.seed, 7))
        background = make_background(look, size, rng)
        return [render_frame(self.state(s), look, background, size, rng) for s in stamps_s]

    @functools.cached_property
    def frames(self) -> list[np.ndarray]:
        """All frames, RGB uint8 [h, w, 3]."""
        return self.frames_at([(s - self.stamps_ns[0]) / 1e9 for s in self.stamps_ns], self.size)


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
    rng: np.random.Generator, kind: str, events: list[float], radius: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the knots of a path of `kind`, which takes its events from the front of `events`."""
    stand = float(rng.choice([rng.uniform(0.2, 0.27), rng.uniform(0.44, 0.56),
                              rng.uniform(0.73, 0.8)]))
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
    """Return one to five things of different looks that use up most of `events`."""
    names = [(c, s) for c in COLOURS for s in SHAPES]
    order = rng.permutation(len(names))
    short = min(1.0, 1.0 / aspect)
    rows = list(rng.permutation(len(ROWS)))
    things: list[Thing] = []
    for number in range(int(rng.integers(1, 6))):
        colour, shape = names[order[number]]
        row = ROWS[rows[number % len(rows)]]
        size = float(rng.uniform(0.105, 0.135)) * (0.8 + 0.4 * row)
        radius, radius_y = size * short, size * short * aspect
        kinds = ['stands']
        if events:
            kinds += ['enters', 'enters', 'leaves', 'passes']
        if len(events) > 1:
            kinds.append('returns')
        # A row is used twice only by things that are never both there for good.
        if number >= len(rows):
            if not events:
                break
            kinds = ['passes']
        kind = str(rng.choice(kinds))
        if kind == 'stands' and sum(t.kind != 'enters' for t in things) >= 3:
            break
        times, places = _path(rng, kind, events, radius)
        things.append(Thing(colour, shape, kind, times, places, row, radius, radius_y))
    return tuple(things)


def _make_light(rng: np.random.Generator, events: list[float]) -> Light:
    """Return a light that changes at each of `events`, never to the colour it has."""
    colours = [str(rng.choice(LIGHT_COLOURS))]
    for _ in events:
        colours.append(str(rng.choice([c for c in LIGHT_COLOURS if c != colours[-1]])))
    return Light(float(rng.choice([0.18, 0.5, 0.82])), (0.0, *events), tuple(colours))


def _stamps(rng: np.random.Generator, seconds: float, fps: float) -> list[int]:
    """Return strictly rising stamps (ns) with a jitter of up to a tenth of the period."""
    count = max(2, int(round(seconds * fps)))
    times = (np.arange(count) + rng.uniform(-0.1, 0.1, count)) / fps
    times -= times[0]
    return [START_NS + int(round(t * 1e9)) for t in times]


def make_scene(
    seed: int,
    *,
    seconds: float = 12.0,
    fps: float = 4.0,
    size: tuple[int, int] = (320, 240),
) -> Scene:
    """
    Make the scene of a seed.

    :param seconds: Length, 2 to 60.
    :param fps: Frames per second, 2 to 8.
    :param size: Width and height in pixels.
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
    return Scene(seed, seconds, fps, size, _stamps(rng, seconds, fps), things, light, pan,
                 Look.random(rng))
