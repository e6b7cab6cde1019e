# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Scenes one after another without a word, and what a window shows of them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from streamvlm_ros.scenes.history import Chronicle, SEEN_S, STEP_S
from streamvlm_ros.scenes.scene import HELD_OUT_SEED, make_scene, Scene
from streamvlm_ros.scenes.things import Thing
from streamvlm_ros.scenes.window import Window
from training.targets import memory_marks, token_marks

# From a clip's seed to those of its further scenes, far from other clips'.
SEED_STRIDE = 250_000_007


class Reel:
    """A clip's scenes; frames are counted over all of them, moments are each scene's own."""

    def __init__(
        self,
        seed: int,
        lengths: Sequence[int],
        rate: float,
        size: tuple[int, int],
        pause: float,
        gap: float,
    ) -> None:
        """
        Make the scenes.

        :param lengths: Frames of each scene, even numbers.
        :param pause: As `make_scene`'s.
        :param gap: Seconds by the stamps between two scenes, besides a frame's.
        """
        self.scenes: list[Scene] = []
        self.stamps_ns: list[int] = []
        # Of every frame: which scene it is of, and its second there.
        self.frames: list[tuple[int, float]] = []
        held_out = seed >= HELD_OUT_SEED
        for number, length in enumerate(lengths):
            own = (seed + number * SEED_STRIDE) % HELD_OUT_SEED + held_out * HELD_OUT_SEED
            scene = make_scene(own, seconds=length / rate, fps=rate, size=size, pause=pause)
            times = scene.times[:length]
            begins = self.stamps_ns[-1] + round((gap + 1 / rate) * 1e9) if number else 0
            self.stamps_ns += [begins + scene.stamp_ns(t) - scene.stamp_ns(0.0) for t in times]
            self.frames += [(number, t) for t in times]
            self.scenes.append(scene)
        # Sometimes the last temporal patch is one frame twice, as for a question at an odd frame.
        if seed % 4 == 0:
            self.frames[-1] = self.frames[-2]
            self.stamps_ns[-1] = self.stamps_ns[-2]
        self.chronicles = [Chronicle(scene) for scene in self.scenes]

    def draw(
        self, first: int, size: tuple[int, int], quality: int | None, oversize: int
    ) -> np.ndarray:
        """Return the frames from `first` on, uint8 [frames, h, w, 3], in the model's size."""
        drawn = []
        for number, scene in enumerate(self.scenes):
            times = [t for of, t in self.frames[first:] if of == number]
            drawn += scene.frames_at(times, (size[0] * oversize, size[1] * oversize), quality)
        if oversize > 1:
            drawn = [cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in drawn]
        return np.stack(drawn)

    def marks(self, first: int, grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return what each token shows and each moment is to remember, of frames from `first`."""
        shown, kept = [], []
        for (number, one), (_, other) in zip(self.frames[first::2], self.frames[first + 1 :: 2]):
            scene = self.scenes[number]
            shown.append(token_marks(scene, (one, other), grid))
            kept.append(memory_marks(scene, self.chronicles[number], other))
        return np.stack(shown), np.stack(kept)

    def window(self, oldest: int, newest: int) -> Window:
        """Return what the frames from `oldest` to `newest` show, for a question at the newest."""
        first, since = self.frames[oldest]
        last, _ = self.frames[newest]
        if first == last:
            gone = tuple(t for scene in self.scenes[:last] for t in scene.things)
            return Window(since=since, gone=gone)
        others: list[Thing] = []
        gone_things: list[Thing] = []
        light = False
        for number, scene in enumerate(self.scenes[:last]):
            times = np.arange(since if number == first else 0.0, scene.seconds, STEP_S)
            shown = number >= first and len(times) * STEP_S >= SEEN_S
            light = light or (shown and scene.light is not None)
            for thing in scene.things:
                inside = scene.visible_part(thing, times) >= 0.6
                seen = shown and float(inside.sum()) * STEP_S >= SEEN_S
                (others if seen else gone_things).append(thing)
        return Window(0.0, tuple(others), tuple(gone_things), light, cut=True)
