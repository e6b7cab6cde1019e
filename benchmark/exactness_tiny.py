# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The embedded model on held-out scenes: the device's answers held to the CPU's in float32.

The scenes are drawn, streamed and asked about in processes of one thread each; the device's side
goes through what they hand over.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from training.data import Packer
from training.evaluate import STANDARD
from training.plan import HELD_OUT_SEED

MAX_ANSWER_TOKENS, TOGETHER = 24, 16
FIRST = HELD_OUT_SEED + STANDARD.frames * 100_000


@dataclasses.dataclass(frozen=True)
class Shown:
    """A scene, what is asked about it, and what the CPU answers."""

    seed: int
    frames: list[np.ndarray]
    stamps_ns: list[int]
    free: list[str]
    choice: list[tuple[str, tuple[str, ...]]]
    answers: list[str]
    probabilities: list[tuple[float, ...]]


def engine(device: str, dtype: str) -> VideoStreamingInference:
    """Return an engine with the embedded model."""
    path = resolve_model('tiny')
    model = StreamQwenModel.from_pretrained(path, dtype=dtype)
    return VideoStreamingInference(model, load_processor(path), device, StreamSettings(
        sample_rate=0.0, chunk_frames=STANDARD.chunk_frames))


def answer(on: VideoStreamingInference, shown: Shown,
           ) -> tuple[list[str], list[tuple[float, ...]]]:
    """Stream a scene and ask everything, free questions several at once."""
    on.reset()
    for frame, stamp in zip(shown.frames, shown.stamps_ns):
        on.append_frame(frame, 1_000_000_000 + stamp)
    answers = []
    for start in range(0, len(shown.free), TOGETHER):
        opened = [on.questions.open(question, MAX_ANSWER_TOKENS)
                  for question in shown.free[start:start + TOGETHER]]
        while any(not each.ended for each in opened):
            on.questions.decode(opened)
        answers += [on.questions.close(each).text for each in opened]
    return answers, [on.ask_choice(question, choices).probabilities
                     for question, choices in shown.choice]


@functools.cache
def _cpu() -> tuple[Packer, VideoStreamingInference]:
    torch.set_num_threads(1)
    return Packer(pathlib.Path(resolve_model('tiny'))), engine('cpu', 'float32')


def show(seed: int) -> Shown:
    """Draw a scene and answer on the CPU."""
    packer, on = _cpu()
    clip = packer.pack(dataclasses.replace(STANDARD, seed=seed), every_choice=True)
    shown = Shown(seed, list(clip.frames), list(clip.stamps_ns),
                  [b.question.text for b in clip.branches if not b.is_choice],
                  [(b.question.text, b.choices) for b in clip.branches if b.is_choice], [], [])
    answers, probabilities = answer(on, shown)
    return dataclasses.replace(shown, answers=answers, probabilities=probabilities)


def scenes(clips: int, processes: int) -> Iterator[Shown]:
    """Yield so many held-out scenes, answered on the CPU by so many processes."""
    with multiprocessing.get_context('spawn').Pool(processes) as pool:
        yield from pool.imap_unordered(show, range(FIRST, FIRST + clips))


def compare(shown: Shown, on: VideoStreamingInference, found: dict[str, Any]) -> None:
    """Answer on the device too, and count what is the same."""
    answers, probabilities = answer(on, shown)
    found['scenes'] += 1
    for question, ours, theirs in zip(shown.free, answers, shown.answers):
        found['free'] += 1
        found['free_same'] += ours == theirs
        if ours != theirs:
            found['different'].append([shown.seed, question, theirs, ours])
    for (question, choices), one, other in zip(shown.choice, probabilities,
                                               shown.probabilities):
        found['choice'] += 1
        same = int(np.argmax(one)) == int(np.argmax(other))
        found['choice_same'] += same
        apart = float(np.abs(np.subtract(one, other)).max())
        found['most_apart'] = max(found['most_apart'], apart)
        if not same:
            found['different'].append([shown.seed, question, choices[int(np.argmax(other))],
                                       choices[int(np.argmax(one))], sorted(other)[-2:]])
