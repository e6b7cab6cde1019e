# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What thrown-away heads are trained to tell: each token's picture, each moment's memory.

They only help training; nothing of them is in the model. Without them the answers alone have to
teach the vision tower to see and the language model to remember, which takes very much longer.
"""

from __future__ import annotations

import numpy as np

from streamvlm_ros.scenes.history import age, AGES, Chronicle, History
from streamvlm_ros.scenes.scene import Scene
from streamvlm_ros.scenes.things import COLOURS, LIGHT_COLOURS, SHAPES

MOTIONS = ('left', 'right', 'not at all')
ZONES = ((0.0, 0.31), (0.39, 0.61), (0.69, 1.0))
ENTRIES = 5
MARKS = len(COLOURS) + len(SHAPES) + len(LIGHT_COLOURS) + len(MOTIONS)
# Name of each part of a moment's memory: its shape, one flag each.
MEMORY_PARTS: dict[str, tuple[int, ...]] = {
    'seen': (len(COLOURS), len(SHAPES)),
    'present': (len(COLOURS),),
    'zone': (len(COLOURS), len(ZONES)),
    'motion': (len(COLOURS), len(MOTIONS)),
    'entry': (ENTRIES, len(COLOURS)),
    'last_in': (len(COLOURS),),
    'last_out': (len(COLOURS),),
    'count_now': (6,),
    'count_ever': (6,),
    'light_now': (len(LIGHT_COLOURS),),
    'light_first': (len(LIGHT_COLOURS),),
    'light_before': (len(LIGHT_COLOURS),),
    'entry_age': (len(COLOURS), len(AGES)),
    'light_age': (len(LIGHT_COLOURS), len(AGES)),
    'light_turned_before': (len(COLOURS), len(LIGHT_COLOURS)),
}
MEMORY = sum(int(np.prod(shape)) for shape in MEMORY_PARTS.values())


def token_marks(scene: Scene, moments: tuple[float, float], grid: tuple[int, int]) -> np.ndarray:
    """
    Return what each merged token of a temporal patch shows, uint8 [tokens, MARKS].

    :param moments: Seconds of the temporal patch's two frames.
    :param grid: Columns and rows of merged tokens.
    """
    columns, rows = grid
    marks = np.zeros((rows, columns, MARKS), np.uint8)
    x, y = np.arange(columns + 1) / columns, np.arange(rows + 1) / rows
    first, second = moments
    for thing in scene.things:
        shift = float(thing.place(second) - thing.place(first))
        # A patch that shows one frame twice has no motion of its own: take the path after it.
        if second <= first:
            shift = float(thing.place(second + 0.05) - thing.place(second - 0.05))
        motion = 0 if shift < -1e-6 else 1 if shift > 1e-6 else 2
        for seconds in moments:
            at = scene.screen_x(thing, seconds)
            wide = np.diff(np.clip(x, at - thing.radius, at + thing.radius))
            high = np.diff(np.clip(y, thing.row - thing.radius_y, thing.row + thing.radius_y))
            share = high[:, None] * wide[None] / (4.0 * thing.radius * thing.radius_y)
            touched = share > 0.15
            marks[touched, COLOURS.index(thing.colour)] = 1
            marks[touched, len(COLOURS) + SHAPES.index(thing.shape)] = 1
            marks[touched, MARKS - len(MOTIONS) + motion] = 1
    if scene.light is not None:
        at = scene.light.x - scene.camera(second)
        column = min(columns - 1, max(0, int(at * columns)))
        colour = LIGHT_COLOURS.index(scene.light.colour(second))
        marks[0, column, len(COLOURS) + len(SHAPES) + colour] = 1
    return marks.reshape(rows * columns, MARKS)


def memory_marks(scene: Scene, chronicle: Chronicle, seconds: float) -> np.ndarray:
    """Return what is to be remembered at `seconds`, uint8 [MEMORY]."""
    parts = {name: np.zeros(shape, np.uint8) for name, shape in MEMORY_PARTS.items()}
    histories = chronicle.at(seconds)
    for history in histories:
        _mark_thing(parts, scene, history, seconds)
    present = sum(h.now != 'out' for h in histories)
    ever = sum(h.status != 'unseen' for h in histories)
    parts['count_now'][present] = parts['count_ever'][ever] = 1
    for name, key in (('last_in', 'entered'), ('last_out', 'left')):
        events = sorted((t, h.thing.colour) for h in histories for t in getattr(h, key))
        if events:
            parts[name][COLOURS.index(events[-1][1])] = 1
        if name == 'last_in':
            for rank, (_, colour) in enumerate(events[:ENTRIES]):
                parts['entry'][rank, COLOURS.index(colour)] = 1
    light = scene.light
    if light is not None:
        changes = sum(t <= seconds for t in light.times[1:])
        parts['light_now'][LIGHT_COLOURS.index(light.colours[changes])] = 1
        parts['light_first'][LIGHT_COLOURS.index(light.colours[0])] = 1
        if changes:
            parts['light_before'][LIGHT_COLOURS.index(light.colours[changes - 1])] = 1
        for t, colour in zip(light.times[1 : 1 + changes], light.colours[1:]):
            _mark_age(parts['light_age'][LIGHT_COLOURS.index(colour)], scene.elapsed(t, seconds))
    return np.concatenate([part.reshape(-1) for part in parts.values()])


def _mark_thing(
    parts: dict[str, np.ndarray], scene: Scene, history: History, seconds: float
) -> None:
    """Mark what is to be remembered of one thing."""
    thing = history.thing
    colour = COLOURS.index(thing.colour)
    if history.status == 'unseen':
        return
    parts['seen'][colour, SHAPES.index(thing.shape)] = 1
    if history.now != 'out':
        parts['present'][colour] = 1
        x = float(scene.screen_x(thing, seconds))
        for zone, (low, high) in enumerate(ZONES):
            parts['zone'][colour, zone] = low <= x <= high
    if thing.kind != 'returns':
        if thing.kind == 'stands' or seconds < thing.times[0]:
            parts['motion'][colour, 2] = 1
        elif seconds > thing.times[0] + 0.6:
            parts['motion'][colour, int(thing.places[-1] > thing.places[0])] = 1
    if history.entered:
        _mark_age(parts['entry_age'][colour], scene.elapsed(history.entered[0], seconds))
    if scene.light is not None and history.entered:
        for t, turned in zip(scene.light.times[1:], scene.light.colours[1:]):
            if t < history.entered[0]:
                parts['light_turned_before'][colour, LIGHT_COLOURS.index(turned)] = 1


def _mark_age(flags: np.ndarray, seconds: float) -> None:
    """Mark the age [len(AGES)] of something; no flag if it is ambiguous."""
    flags[:] = 0
    which = age(seconds)
    if which is not None:
        flags[which] = 1
