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

import numpy as np
import torch

from streamvlm_ros.engine.positions import Grid, PositionRule, StreamState, VideoPart
from streamvlm_ros.engine.processor import load_processor
from streamvlm_ros.engine.prompt import Place, Prompt
from training.questions import choice_prompt, FAMILIES, Question, questions_for
from training.scenes import COLOURS, LIGHT_COLOURS, make_scene, Scene, SHAPES

TOKENS_PER_SECOND = 2
# Merged tokens (columns, rows) that common picture sizes come to within the model's pixels.
GRIDS = ((4, 3), (4, 3), (5, 3), (4, 4), (3, 4))
MARKS = len(COLOURS) + len(SHAPES) + len(LIGHT_COLOURS)
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
class Clip:
    """One packed clip: arrays over its tokens, its pixels and its per-token marks."""

    frames: np.ndarray
    ids: np.ndarray
    positions: np.ndarray
    owner: np.ndarray
    limit: np.ndarray
    labels: np.ndarray
    marks: np.ndarray
    branches: list[Branch]


class Packer:
    """Lays clips out; holds the tokenizer and the position rule of a model folder."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Load tokenizer and template from `folder`."""
        processor = load_processor(folder)
        self.prompt = Prompt(processor, '', ())
        self.rule = PositionRule(self.prompt.pad, TOKENS_PER_SECOND)
        self.encode = lambda text: processor.tokenizer.encode(text, add_special_tokens=False)

    def trunk(self, spec: ClipSpec, times_ns: Sequence[int]) -> _Trunk:
        """Prefill the clip's chunks on paper: tokens, positions, and every state to ask from."""
        columns, rows = spec.grid
        step = spec.chunk_frames // 2 if spec.append else 1
        trunk = _Trunk()
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
        rng = np.random.default_rng((spec.seed, 23))
        shown = times
        if spec.last_seconds:
            # By count: jitter must not give the clips of one batch different lengths.
            shown = times[-2 * max(1, round(spec.last_seconds * spec.rate / 2)):]
        size = (28 * spec.grid[0], 28 * spec.grid[1])
        frames = np.stack(scene.frames_at(shown, size, spec.quality))
        trunk = self.trunk(spec, [round((t - shown[0]) * 1e9) for t in shown[::2]])
        packed = _Packed(trunk)
        branches = []
        for stop, question in self._questions(spec, scene, shown, trunk, rng, every_choice):
            forms = [False, True] if every_choice else [bool(rng.random() < 0.5)]
            for is_choice in forms:
                text = question.text
                answers: tuple[str, ...] = (question.answer,)
                if is_choice:
                    text = choice_prompt(text, question.choices)
                    answers = question.choices if every_choice else answers
                tail = self.prompt.ask(trunk.stops[stop][2], text)
                spans = tuple(packed.add(self.rule, trunk.stops[stop], tail,
                                         [*self.encode(a), self.prompt.turn_end[0]])
                              for a in answers)
                branches.append(Branch(question, is_choice, spans, answers))
        ids, positions, owner, limit, labels = packed.arrays()
        marks = np.stack([token_marks(scene, shown[i], spec.grid)
                          for i in range(0, len(shown), 2)])
        return Clip(frames, ids, positions, owner, limit, labels, marks, branches)

    def _questions(self, spec: ClipSpec, scene: Scene, times: list[float], trunk: _Trunk,
                   rng: np.random.Generator, at_end: bool) -> list[tuple[int, Question]]:
        """Draw questions evenly over families and over up to three moments."""
        last = len(trunk.stops) - 1
        able = [i for i, s in enumerate(trunk.stops) if times[2 * s[0] - 1] >= 1.0] or [last]
        moments = {last} if at_end else {last, *rng.choice(able, 2).tolist()}
        pools: dict[str, list[tuple[int, Question]]] = {f: [] for f in FAMILIES}
        for stop in moments:
            at = scene_time(spec, times, trunk.stops[stop][0])
            for question in questions_for(scene, max(1.0, at)):
                pools[question.family].append((stop, question))
        for pool in pools.values():
            rng.shuffle(pool)
        chosen: list[tuple[int, Question]] = []
        while len(chosen) < spec.questions and any(pools.values()):
            for family in FAMILIES:
                if pools[family]:
                    chosen.append(pools[family].pop())
        return chosen[:spec.questions]


class _Trunk:
    """Tokens and positions of prefix and chunks, and the states that questions start from."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.positions: list[torch.Tensor] = []
        # Temporal patches so far, the state behind them, what the last token belongs to.
        self.stops: list[tuple[int, StreamState, Place]] = []


class _Packed:
    """A growing packed sequence."""

    def __init__(self, trunk: _Trunk) -> None:
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


def make_clip_scene(spec: ClipSpec) -> tuple[Scene, list[float]]:
    """Return the clip's scene and the seconds of its frames, an even number of them."""
    scene = make_scene(spec.seed, seconds=spec.frames / spec.rate, fps=spec.rate,
                       size=(28 * spec.grid[0], 28 * spec.grid[1]))
    times = [(s - scene.stamps_ns[0]) / 1e9 for s in scene.stamps_ns][:spec.frames]
    # Sometimes the last temporal patch is one frame twice, as for a question at an odd frame.
    if spec.seed % 4 == 0:
        times[-1] = times[-2]
    return scene, times


def scene_time(spec: ClipSpec, times: list[float], patches: int) -> float:
    """Return the second that the newest of so many temporal patches shows."""
    return times[2 * patches - 1]


def token_marks(scene: Scene, seconds: float, grid: tuple[int, int]) -> np.ndarray:
    """Return what each merged token shows, float32 [tokens, MARKS]: a light training aid."""
    columns, rows = grid
    marks = np.zeros((rows, columns, MARKS), np.float32)
    state = scene.state(seconds)
    for sprite in state.sprites:
        x = np.arange(columns + 1) / columns
        y = np.arange(rows + 1) / rows
        wide = np.diff(np.clip(x, sprite.x - sprite.radius_x, sprite.x + sprite.radius_x))
        high = np.diff(np.clip(y, sprite.y - sprite.radius_y, sprite.y + sprite.radius_y))
        share = high[:, None] * wide[None] / (4.0 * sprite.radius_x * sprite.radius_y)
        touched = share > 0.15
        marks[touched, COLOURS.index(sprite.colour)] = 1.0
        marks[touched, len(COLOURS) + SHAPES.index(sprite.shape)] = 1.0
    if state.light is not None:
        column = min(columns - 1, max(0, int(state.light[0] * columns)))
        place = len(COLOURS) + len(SHAPES) + LIGHT_COLOURS.index(state.light[1])
        marks[0, column, place] = 1.0
    return marks.reshape(rows * columns, MARKS)


@dataclasses.dataclass
class Batch:
    """Clips side by side; shorter ones are padded at the end with tokens that see themselves."""

    frames: torch.Tensor
    grid: Grid
    ids: torch.Tensor
    positions: torch.Tensor
    owner: torch.Tensor
    limit: torch.Tensor
    labels: torch.Tensor
    marks: torch.Tensor
    branches: list[list[Branch]]

    def to(self, device: torch.device) -> Batch:
        """Move every tensor."""
        moved = {f.name: getattr(self, f.name).to(device, non_blocking=True)
                 for f in dataclasses.fields(self)
                 if isinstance(getattr(self, f.name), torch.Tensor)}
        return dataclasses.replace(self, **moved)


def collate(clips: Sequence[Clip], grid: tuple[int, int]) -> Batch:
    """Put clips of one grid and frame count into a batch."""
    length = max(len(c.ids) for c in clips)

    def padded(arrays: list[np.ndarray], value: int) -> torch.Tensor:
        return torch.from_numpy(np.stack([
            np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, length - a.shape[-1])],
                   constant_values=value) for a in arrays]))

    frames = torch.from_numpy(np.stack([c.frames for c in clips]))
    return Batch(
        frames=frames, grid=Grid(frames.shape[0] * frames.shape[1] // 2, grid[1], grid[0]),
        ids=padded([c.ids for c in clips], 0),
        positions=padded([c.positions for c in clips], 0).transpose(0, 1),
        owner=padded([c.owner for c in clips], -1), limit=padded([c.limit for c in clips], 0),
        labels=padded([c.labels for c in clips], IGNORED),
        marks=torch.from_numpy(np.stack([c.marks for c in clips])),
        branches=[c.branches for c in clips])
