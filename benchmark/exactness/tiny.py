# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The embedded model on held-out scenes: the device's answers compared with the CPU's in float32.

Processes of one thread each draw the scenes and answer on both; small kernels of many processes
fill a card better than those of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import dataclasses
import functools
import multiprocessing
import pathlib
from typing import Any

import numpy as np
import torch

from streamvlm_ros.engine import (
    load_processor,
    resolve_model,
    StreamQwenModel,
    StreamSettings,
    VideoStreamingInference,
)
from streamvlm_ros.scenes.scene import HELD_OUT_SEED
from training.data import Clip, Packer
from training.evaluate import STANDARD

MAX_ANSWER_TOKENS, TOGETHER = 24, 16
FIRST = HELD_OUT_SEED + STANDARD.frames * 100_000


@dataclasses.dataclass(frozen=True)
class Shown:
    """A scene and what is asked about it."""

    seed: int
    frames: list[np.ndarray]
    stamps_ns: list[int]
    free: list[str]
    choice: list[tuple[str, tuple[str, ...]]]

    @classmethod
    def of(cls, seed: int, clip: Clip) -> Shown:
        """Return what a packed clip shows and asks."""
        return cls(
            seed,
            list(clip.frames),
            list(clip.stamps_ns),
            [b.question.text for b in clip.branches if not b.is_choice],
            [(b.question.text, b.choices) for b in clip.branches if b.is_choice],
        )


@dataclasses.dataclass
class Tally:
    """How many questions were asked and answered as the CPU does, and which were not."""

    scenes: int = 0
    free: int = 0
    free_same: int = 0
    choice: int = 0
    choice_same: int = 0
    most_apart: float = 0.0
    different: list[list[Any]] = dataclasses.field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count another one's too."""
        for name in ('scenes', 'free', 'free_same', 'choice', 'choice_same', 'different'):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.most_apart = max(self.most_apart, other.most_apart)


def engine(device: str, dtype: str) -> VideoStreamingInference:
    """Return an engine with the embedded model."""
    path = resolve_model('tiny')
    model = StreamQwenModel.from_pretrained(path, dtype=dtype)
    return VideoStreamingInference(
        model,
        load_processor(path),
        device,
        StreamSettings(sample_rate=0.0, chunk_frames=STANDARD.chunk_frames),
    )


Said = tuple[list[str], list[tuple[float, ...]]]


def answer(on: VideoStreamingInference, shown: Shown) -> Said:
    """Stream a scene and ask everything, free questions several at once."""
    on.reset()
    for frame, stamp in zip(shown.frames, shown.stamps_ns):
        on.append_frame(frame, 1_000_000_000 + stamp)
    answers = []
    for start in range(0, len(shown.free), TOGETHER):
        opened = [
            on.questions.open(question, MAX_ANSWER_TOKENS)
            for question in shown.free[start : start + TOGETHER]
        ]
        while any(not each.ended for each in opened):
            on.questions.decode(opened)
        answers += [on.questions.close(each).text for each in opened]
    return answers, [
        on.ask_choice(question, choices).probabilities for question, choices in shown.choice
    ]


def compare(shown: Shown, said: Said, cpu: Said) -> Tally:
    """Return how much of what was said is what the CPU says."""
    found = Tally(scenes=1, free=len(shown.free), choice=len(shown.choice))
    for question, ours, theirs in zip(shown.free, said[0], cpu[0]):
        found.free_same += ours == theirs
        if ours != theirs:
            found.different.append([shown.seed, question, theirs, ours])
    for (question, choices), one, other in zip(shown.choice, said[1], cpu[1]):
        mine, their = int(np.argmax(one)), int(np.argmax(other))
        found.choice_same += mine == their
        found.most_apart = max(found.most_apart, float(np.abs(np.subtract(one, other)).max()))
        if mine != their:
            found.different.append(
                [shown.seed, question, choices[their], choices[mine], sorted(other)[-2:]]
            )
    return found


@functools.cache
def _packer() -> Packer:
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    return Packer(pathlib.Path(resolve_model('tiny')))


@functools.cache
def _engine(device: str, dtype: str) -> VideoStreamingInference:
    return engine(device, dtype)


def examine(device: str, dtypes: tuple[str, ...], seed: int) -> dict[str, Tally]:
    """Draw a scene, and answer on the CPU and on the device."""
    clip = _packer().pack(dataclasses.replace(STANDARD, seed=seed), every_choice=True)
    shown = Shown.of(seed, clip)
    cpu = answer(_engine('cpu', 'float32'), shown)
    return {dtype: compare(shown, answer(_engine(device, dtype), shown), cpu) for dtype in dtypes}


def scenes(
    clips: int, processes: int, device: str, dtypes: Sequence[str]
) -> Iterator[dict[str, Tally]]:
    """Yield the tallies of held-out scenes, by the number format on the device."""
    work = functools.partial(examine, device, tuple(dtypes))
    with multiprocessing.get_context('spawn').Pool(processes) as pool:
        yield from pool.imap_unordered(work, range(FIRST, FIRST + clips))
