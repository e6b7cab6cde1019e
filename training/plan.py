# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is trained for how long: every step's clips, learning rate and weights of the losses."""

from __future__ import annotations

import dataclasses
import math
import pathlib

import numpy as np

from streamvlm_ros.scenes.scene import HELD_OUT_SEED
from training.build import TRAINED_POSITIONS
from training.data import ClipSpec, GRIDS
from training.paper import Memory

# Tokens of a question with its answer, about; the size of batches depends on it.
BRANCH_TOKENS = 42
SHORT = 32  # frames
LEAST_FRAMES = 20  # in a clip of several scenes
# The engine's own largest position with this model.
LARGEST = TRAINED_POSITIONS * 3 // 4


@dataclasses.dataclass(frozen=True)
class Plan:
    """The settings of a training run."""

    out: pathlib.Path
    preset: str
    minutes: float
    clips: int
    questions: int
    longest: int
    workers: int
    rate: float
    device: str
    begin_with: pathlib.Path | None = None
    keep: int = 160
    vision_share: float = 0.05
    seed: int = 1
    # Share of the steps whose clips are several scenes in a memory that does not hold them.
    reels: float = 0.0
    # Share of the steps whose clips are pieces of benchmark.memory.day.
    days: float = 0.0
    # Families that are asked about more.
    more: tuple[str, ...] = ()
    # The model_type that is built.
    family: str = 'qwen2_5_vl'

    def is_vision_only(self, progress: float) -> bool:
        """Tell whether the vision tower is trained alone, at a `progress` from 0 to 1."""
        return progress < self.vision_share and self.begin_with is None

    def learning_rate(self, progress: float) -> float:
        """Return the rate: a warm-up for each phase, then a cosine down to nearly nothing."""
        if self.is_vision_only(progress):
            return self.rate * min(1.0, 20.0 * progress / self.vision_share)
        share = 0.0 if self.begin_with else self.vision_share
        joint = (progress - share) / (1.0 - share)
        return (
            self.rate
            * min(1.0, 30.0 * joint + 0.1)
            * (0.51 + 0.49 * math.cos(math.pi * min(1.0, joint)))
        )

    def memory_weight(self, progress: float) -> float:
        """Return the weight of the memory's loss: it leads at first, then the answers do."""
        return 4.0 - 3.0 * min(1.0, progress)

    def specs(self, step: int, progress: float) -> list[ClipSpec]:
        """Return the clips of a step: one grid and length, longer ones later in training."""
        rng = np.random.default_rng((self.seed, step))
        grid = GRIDS[rng.integers(len(GRIDS))]
        reels = days = False
        frames, rate, questions, clips = 4, 0.5, 1, 2 * self.clips
        if not self.is_vision_only(progress):
            reach = self.longest * min(1.0, (1.0 if self.begin_with else 0.2) + 1.6 * progress)
            top = min(SHORT, self.longest) if rng.random() < 0.6 else max(reach, 6.0)
            frames = 2 * int(rng.integers(2, int(top) // 2 + 1))
            rate = float(rng.choice([2.0, 2.0, 2.0, 3.0, 4.0, 5.0] + [6.0, 8.0] * (frames >= 16)))
            # Without reels, no random number is drawn for them.
            reels = self.reels > 0.0 and rng.random() < self.reels
            if reels:
                frames, rate = reel_frames(rng, 2 * self.longest)
            days = self.days > 0.0 and rng.random() < self.days
            if days:
                frames, rate = day_frames(rng, 3 * self.longest)
                grid = GRIDS[0] if rng.random() < 0.6 else grid
            # A long trunk is worth more of them.
            questions = self.questions * 5 // 3 if days else self.questions
            asked = questions * BRANCH_TOKENS
            standard = 12 * 12 + asked
            # Half as many of the longest: the cost of attention grows with the square.
            clips = max(
                1,
                round(
                    self.clips * standard / (1 + days) / (frames // 2 * grid[0] * grid[1] + asked)
                ),
            )
        pause = float(rng.uniform(1.0, 12.0)) if questions > 1 and rng.random() < 0.3 else 0.0
        # As many seeds a step as a step can need, so that no scene comes twice.
        seed = (self.seed * 10_000_000 + step * 2 * self.clips) % HELD_OUT_SEED
        clip_specs = [
            ClipSpec(
                seed + i,
                frames,
                rate,
                grid,
                bool(rng.random() < 0.35),
                int(rng.choice([2, 4, 4, 6, 8])),
                questions,
                quality=int(rng.integers(28, 101)),
                more=self.more,
                oversize=2 if rng.random() < 0.1 else 1,
                pause=pause,
            )
            for i in range(clips)
        ]
        if days:
            return [as_day(rng, spec) for spec in clip_specs]
        return [as_reel(rng, spec) for spec in clip_specs] if reels else clip_specs


def reel_frames(rng: np.random.Generator, longest: int) -> tuple[int, float]:
    """Return frames and rate of a clip of several scenes, a third of them up to the longest."""
    top = longest if rng.random() < 0.35 else max(LEAST_FRAMES, longest * 2 // 5)
    return 2 * int(rng.integers(LEAST_FRAMES // 2, top // 2 + 1)), float(
        rng.choice([2.0, 2.0, 3.0, 4.0, 4.0, 5.0])
    )


def day_frames(rng: np.random.Generator, longest: int) -> tuple[int, float]:
    """Return frames and rate of a piece of benchmark.memory.day, of up to three of its scenes."""
    least = max(LEAST_FRAMES, longest * 2 // 3)
    return 2 * int(rng.integers(least // 2, longest // 2 + 1)), float(
        rng.choice([4.0, 4.0, 4.0, 4.0, 3.0, 5.0])
    )


def as_day(rng: np.random.Generator, spec: ClipSpec) -> ClipSpec:
    """Return a clip like a piece of benchmark.memory.day: scenes as long as its memory."""
    longest = max(8, spec.frames // 3 // 2 * 2)
    length = (
        longest
        if rng.random() < 0.6
        else 2 * int(rng.integers(max(4, longest // 3), longest // 2 + 1))
    )
    most = 2 if rng.random() < 0.8 else 1
    cuts = [spec.frames - length * behind for behind in range(most, 0, -1)]
    append, seconds = spec.append and rng.random() < 0.4, length / spec.rate
    largest = spec.memory.largest
    if not append and rng.random() < 0.6:
        largest = int(rng.uniform(min(30 + 4 * seconds, LARGEST - 40), LARGEST))
    return dataclasses.replace(
        spec,
        append=append,
        cuts=tuple(cuts),
        moments=4,
        pause=0.0,
        memory=Memory(seconds=seconds, largest=largest),
    )


def as_reel(rng: np.random.Generator, spec: ClipSpec) -> ClipSpec:
    """Return a clip of the same length made of several scenes, in a memory shorter than that."""
    most = min(4, spec.frames // LEAST_FRAMES)
    cuts: set[int] = set()
    if rng.random() < 0.3:
        cuts.add(spec.frames // 4 * 2)
    else:
        for _ in range(int(rng.integers(0, most + 1))):
            cut = 2 * int(rng.integers(4, max(5, spec.frames // 2 - 3)))
            if all(abs(cut - other) >= 8 for other in cuts):
                cuts.add(cut)
    ends = [0, *sorted(cuts), spec.frames]
    whole, last = spec.frames / spec.rate, (ends[-1] - ends[-2]) / spec.rate
    # As long as the last scene, as benchmark.memory.day has it, or any length.
    seconds = last if cuts and rng.random() < 0.5 else float(rng.uniform(0.15, 0.9)) * whole
    seconds = max(seconds, 2.5 * spec.chunk_frames / spec.rate)
    columns, rows = spec.grid
    # Beside the patches, the prefix and a chunk's marks.
    tokens = 64 + (math.ceil(seconds * spec.rate / 2) + 1) * rows * columns
    memory = Memory(seconds=seconds) if rng.random() < 0.75 else Memory(tokens=tokens)
    if not spec.append and rng.random() < 0.6:
        least = 30 + 4 * seconds
        memory = dataclasses.replace(
            memory, largest=int(rng.uniform(least, max(least + 40, LARGEST)))
        )
    gap = float(rng.uniform(0.0, 80.0)) / len(cuts) if cuts and rng.random() < 0.5 else 0.0
    return dataclasses.replace(
        spec,
        cuts=tuple(sorted(cuts)),
        gap=gap,
        memory=memory,
        pause=spec.pause if rng.random() < 0.4 else 0.0,
    )
