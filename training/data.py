# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Batches of clips with many questions each, laid out as the engine streams them.

A clip is one packed sequence: the trunk (prefix and chunks) once, then every question with its
answer as a branch that attends to the trunk up to its moment and to itself. Prompt pieces and
positions come from the engine, so that they cannot differ from it.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import pathlib

import cv2
import numpy as np
import torch

from streamvlm_ros.engine.positions import Grid, PositionRule, StreamState, VideoPart
from streamvlm_ros.engine.processor import load_processor
from streamvlm_ros.engine.prompt import Place, Prompt
from training.history import Chronicle
from training.questions import choice_prompt, FAMILIES, Question, questions_for
from training.scenes import make_scene, Scene
from training.targets import memory_marks, token_marks

TOKENS_PER_SECOND = 2
# Merged tokens (columns, rows) that common picture sizes come to within the model's pixels.
GRIDS = ((4, 3), (4, 3), (5, 3), (4, 4), (3, 4))
IGNORED = -100


@dataclasses.dataclass(frozen=True)
class ClipSpec:
    """What one clip of a batch is to be; clips of a batch share `frames` and `grid`."""

    seed: int
    frames: int
    rate: float
    grid: tuple[int, int]
    append: bool
    chunk_frames: int
    questions: int
    quality: int | None = None
    # Frames are drawn so many times larger and scaled down, as a camera's pictures are.
    oversize: int = 1
    # Seconds between two frames somewhere in which the world stands still.
    pause: float = 0.0
    # Only the last so many seconds are shown, to see what memory is worth; 0: all.
    last_seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Branch:
    """One question of a packed clip and where its answer's labels are."""

    question: Question
    is_choice: bool
    # First and one-past-last index of the answer; one span per choice in evaluation.
    spans: tuple[tuple[int, int], ...]
    choices: tuple[str, ...]


@dataclasses.dataclass
class Layout:
    """
    The tokens of a packed clip: the trunk, then every branch.

    Int64 arrays over the n tokens: `ids`, `positions` [3, n], `owner` (0: the trunk, else the
    branch's number), `limit` (how much of the trunk is seen), `labels` (the answers' tokens).
    """

    branches: list[Branch]
    ids: np.ndarray
    positions: np.ndarray
    owner: np.ndarray
    limit: np.ndarray
    labels: np.ndarray


@dataclasses.dataclass
class Clip(Layout):
    """
    One packed clip: its tokens, its pixels and what the helping heads are to tell.

    `frames` is RGB uint8 [frames, h, w, 3], `marks` [temporal patches, tokens of one, MARKS] and
    `memory` [temporal patches, MEMORY].
    """

    frames: np.ndarray
    stamps_ns: list[int]
    marks: np.ndarray
    memory: np.ndarray


class Packer:
    """Lays clips out; holds the tokenizer and the position rule of a model folder."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Load tokenizer and template from `folder`."""
        processor = load_processor(folder)
        self.prompt = Prompt(processor, '', ())
        self.rule = PositionRule(self.prompt.pad, TOKENS_PER_SECOND)
        self.encode = lambda text: processor.tokenizer.encode(text, add_special_tokens=False)

    def trunk(self, spec: ClipSpec, times_ns: Sequence[int]) -> Trunk:
        """Prefill the clip's chunks on paper: tokens, positions, and every state to ask from."""
        columns, rows = spec.grid
        step = spec.chunk_frames // 2 if spec.append else 1
        trunk = Trunk()
        state, place = StreamState(), Place.NOTHING
        for first in range(0, len(times_ns), step):
            times = tuple(times_ns[first:first + step])
            part = VideoPart(Grid(len(times), rows, columns), times)
            opening = self.prompt.open_segment(place) if place is not Place.VIDEO else []
            closing = self.prompt.close_segment() if spec.append else []
            ids = [*opening, *[self.prompt.pad] * part.grid.tokens, *closing]
            positions, state = self.rule.place(state, ids, [part])
            place = Place.USER_TURN if spec.append else Place.VIDEO
            trunk.ids += ids
            trunk.positions.append(positions)
            trunk.stops.append((first + len(times), state, place))
        return trunk

    def pack(self, spec: ClipSpec, every_choice: bool = False) -> Clip:
        """
        Make one clip.

        :param every_choice: For evaluation: each question in both forms, with every choice as a
            branch of its own; otherwise one form each, with the answer only.
        """
        scene, times = make_clip_scene(spec)
        chronicle = Chronicle(scene)
        rng = np.random.default_rng((spec.seed, 23))
        shown = times
        if spec.last_seconds:
            # By count: jitter must not give the clips of one batch different lengths.
            shown = times[-2 * max(1, round(spec.last_seconds * spec.rate / 2)):]
        size = (28 * spec.grid[0], 28 * spec.grid[1])
        frames = np.stack(draw_frames(scene, shown, size, spec))
        stamps = [scene.stamp_ns(t) - scene.stamp_ns(shown[0]) for t in shown]
        trunk = self.trunk(spec, stamps[::2])
        asked = []
        for stop, question in self._questions(spec, scene, chronicle, shown, trunk, rng,
                                              every_choice):
            forms = [False, True] if every_choice else [bool(rng.random() < 0.5)]
            for is_choice in forms:
                answers = question.choices if is_choice and every_choice else (question.answer,)
                asked.append((stop, question, is_choice, answers))
        pairs = list(zip(shown[::2], shown[1::2]))
        marks = np.stack([token_marks(scene, pair, spec.grid) for pair in pairs])
        memory = np.stack([memory_marks(scene, chronicle, pair[1]) for pair in pairs])
        return Clip(**vars(self.lay_out(trunk, asked)), frames=frames, stamps_ns=stamps,
                    marks=marks, memory=memory)

    def lay_out(self, trunk: Trunk,
                asked: Sequence[tuple[int, Question, bool, tuple[str, ...]]]) -> Layout:
        """
        Put questions behind a trunk.

        :param asked: For each: the stop of the trunk it is asked at, the question, whether in its
            choice form, and the answers, each of which becomes a branch.
        """
        packed = _Packed(trunk)
        branches = []
        for stop, question, is_choice, answers in asked:
            text = choice_prompt(question.text, question.choices) if is_choice else question.text
            tail = self.prompt.ask(trunk.stops[stop][2], text)
            spans = tuple(packed.add(self.rule, trunk.stops[stop], tail,
                                     [*self.encode(a), self.prompt.turn_end[0]])
                          for a in answers)
            branches.append(Branch(question, is_choice, spans, answers))
        return Layout(branches, *packed.arrays())

    def _questions(self, spec: ClipSpec, scene: Scene, chronicle: Chronicle,
                   times: list[float], trunk: Trunk, rng: np.random.Generator, at_end: bool,
                   ) -> list[tuple[int, Question]]:
        """Draw questions evenly over families and over up to three moments."""
        last = len(trunk.stops) - 1
        able = [i for i, s in enumerate(trunk.stops) if times[2 * s[0] - 1] >= 1.0] or [last]
        moments = {last} if at_end else {last, *rng.choice(able, 2).tolist()}
        pools: dict[str, list[tuple[int, Question]]] = {f: [] for f in FAMILIES}
        for stop in moments:
            # The second that the newest temporal patch shows.
            at = times[2 * trunk.stops[stop][0] - 1]
            for question in questions_for(scene, max(1.0, at), chronicle):
                pools[question.family].append((stop, question))
        for pool in pools.values():
            rng.shuffle(pool)
        chosen: list[tuple[int, Question]] = []
        while len(chosen) < spec.questions and any(pools.values()):
            for family in FAMILIES:
                if pools[family]:
                    chosen.append(pools[family].pop())
        return chosen[:spec.questions]


class Trunk:
    """Tokens and positions of prefix and chunks, and the states that questions start from."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.positions: list[torch.Tensor] = []
        # Temporal patches so far, the state behind them, what the last token belongs to.
        self.stops: list[tuple[int, StreamState, Place]] = []


class _Packed:
    """A growing packed sequence."""

    def __init__(self, trunk: Trunk) -> None:
        length = len(trunk.ids)
        self.ids = list(trunk.ids)
        self.positions = list(trunk.positions)
        self.owner = [0] * length
        self.limit = list(range(1, length + 1))
        self.labels = [IGNORED] * length

    def add(self, rule: PositionRule, stop: tuple[int, StreamState, Place], tail: list[int],
            answer: list[int]) -> tuple[int, int]:
        """Append a branch behind a stop; return where its answer is."""
        ids = [*tail, *answer]
        positions, _ = rule.place(stop[1], ids)
        start = len(self.ids)
        self.owner += [self.owner[-1] + 1] * len(ids)
        self.limit += [stop[1].length] * len(ids)
        self.labels += [IGNORED] * len(tail) + answer
        self.ids += ids
        self.positions.append(positions)
        return start + len(tail), start + len(ids)

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Return ids, positions [3, n], owner, limit, labels."""
        lists = (self.ids, self.owner, self.limit, self.labels)
        ids, owner, limit, labels = (np.asarray(x, np.int64) for x in lists)
        return ids, torch.cat(self.positions, dim=1).numpy(), owner, limit, labels


def draw_frames(scene: Scene, times: list[float], size: tuple[int, int],
                spec: ClipSpec) -> list[np.ndarray]:
    """Return the clip's frames, RGB uint8 [h, w, 3] each, in the model's size."""
    drawn = (size[0] * spec.oversize, size[1] * spec.oversize)
    frames = scene.frames_at(times, drawn, spec.quality)
    if spec.oversize > 1:
        frames = [cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in frames]
    return frames


def make_clip_scene(spec: ClipSpec) -> tuple[Scene, list[float]]:
    """Return the clip's scene and the seconds of its frames, an even number of them."""
    scene = make_scene(spec.seed, seconds=spec.frames / spec.rate, fps=spec.rate,
                       size=(28 * spec.grid[0], 28 * spec.grid[1]), pause=spec.pause)
    times = scene.times[:spec.frames]
    # Sometimes the last temporal patch is one frame twice, as for a question at an odd frame.
    if spec.seed % 4 == 0:
        times[-1] = times[-2]
    return scene, times
