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

from streamvlm_ros.engine.models.hub.size import build_empty
from streamvlm_ros.engine.models.processor import load_processor
from streamvlm_ros.engine.models.prompt import Prompt
from streamvlm_ros.engine.models.registry import family_at
from streamvlm_ros.scenes.questions import choice_prompt, FAMILIES, Question, questions_for
from training.layout import Branch, Layout, Packed
from training.paper import ENDLESS_MEMORY, Memory, Trunk
from training.reel import Reel

# Merged tokens (columns, rows) that common picture sizes come to within the model's pixels.
GRIDS = ((4, 3), (4, 3), (5, 3), (4, 4), (3, 4))


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
    # Frames are drawn this many times larger and scaled down, as a camera's pictures are.
    oversize: int = 1
    # Seconds between two frames somewhere in which the world stands still.
    pause: float = 0.0
    # Only this many last seconds are shown, to measure what memory is worth; 0: all.
    last_seconds: float = 0.0
    # Frames, even numbers, with which another scene begins, and the seconds that pass before.
    cuts: tuple[int, ...] = ()
    gap: float = 0.0
    memory: Memory = ENDLESS_MEMORY
    # Questions come after every scene, and at this many other moments.
    moments: int = 2
    # Families that have another question whenever all have had one.
    more: tuple[str, ...] = ()


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
        self.prompt = Prompt(processor, family_at(folder), '', ())
        self.rule = build_empty(folder, torch.float32).position_rule
        self._side = processor.pixels.factor
        self.encode = lambda text: processor.tokenizer.encode(text, add_special_tokens=False)

    def trunk(self, spec: ClipSpec, stamps_ns: Sequence[int]) -> Trunk:
        """Prefill the clip's chunks on paper; `stamps_ns` are its frames', an even number."""
        times_ns, ends_ns = stamps_ns[::2], stamps_ns[1::2]
        columns, rows = spec.grid
        # In continuous mode the chunks make no difference, except for what is evicted before them.
        step = spec.chunk_frames // 2 if spec.append or spec.memory.evicts else 1
        trunk = Trunk(self.prompt, self.rule, spec.memory)
        for first in range(0, len(times_ns), step):
            chunk = times_ns[first : first + step]
            ends = ends_ns[first : first + step]
            trunk.prefill(chunk, rows, columns, spec.append, len(chunk) < step, ends)
        return trunk

    def pack(self, spec: ClipSpec, every_choice: bool = False) -> Clip:
        """
        Make one clip.

        :param every_choice: For evaluation: each question in both forms, with every choice as a
            separate branch; otherwise one form each, with the answer only.
        """
        size = (self._side * spec.grid[0], self._side * spec.grid[1])
        lengths = np.diff([0, *spec.cuts, spec.frames]).tolist()
        reel = Reel(spec.seed, lengths, spec.rate, size, spec.pause, spec.gap)
        rng = np.random.default_rng((spec.seed, 23))
        first = 0
        if spec.last_seconds:
            # By count: jitter must not give the clips of one batch different lengths.
            first = spec.frames - 2 * max(1, round(spec.last_seconds * spec.rate / 2))
        frames = reel.draw(first, size, spec.quality, spec.oversize)
        stamps = [stamp - reel.stamps_ns[first] for stamp in reel.stamps_ns[first:]]
        trunk = self.trunk(spec, stamps)
        asked = []
        for stop, question in self._questions(spec, reel, first, trunk, rng, every_choice):
            forms = [False, True] if every_choice else [bool(rng.random() < 0.5)]
            for is_choice in forms:
                answers = question.choices if is_choice and every_choice else (question.answer,)
                asked.append((stop, question, is_choice, answers))
        marks, memory = reel.marks(first, spec.grid)
        return Clip(
            **vars(self.lay_out(trunk, asked)),
            frames=frames,
            stamps_ns=stamps,
            marks=marks,
            memory=memory,
        )

    def lay_out(
        self, trunk: Trunk, asked: Sequence[tuple[int, Question, bool, tuple[str, ...]]]
    ) -> Layout:
        """
        Append questions to a trunk.

        :param asked: For each: the stop of the trunk it is asked at, the question, whether in its
            choice form, and the answers, each of which becomes a branch.
        """
        packed = Packed(trunk)
        branches = []
        for stop, question, is_choice, answers in asked:
            text = choice_prompt(question.text, question.choices) if is_choice else question.text
            tail = self.prompt.ask(trunk.stops[stop].place, text)
            spans = tuple(
                packed.add(trunk.stops[stop], tail, [*self.encode(a), self.prompt.turn_end[0]])
                for a in answers
            )
            branches.append(Branch(question, is_choice, spans, answers))
        return Layout(branches, *packed.arrays())

    def _questions(
        self,
        spec: ClipSpec,
        reel: Reel,
        first: int,
        trunk: Trunk,
        rng: np.random.Generator,
        at_end: bool,
    ) -> list[tuple[int, Question]]:
        """Draw questions evenly over families (see `ClipSpec.more`) and over a few moments."""
        # Of every stop, the scene and the second that the newest temporal patch shows.
        shown = [reel.frames[first + 2 * stop.patches - 1] for stop in trunk.stops]
        last = len(shown) - 1
        able = [i for i, (_, seconds) in enumerate(shown) if seconds >= 1.0] or [last]
        moments = {last} if at_end else {last, *rng.choice(able, spec.moments).tolist()}
        if spec.moments > 2 and not at_end:
            moments |= {i for i in able[:-1] if shown[i][0] != shown[i + 1][0]}
        pools: dict[str, list[tuple[int, Question]]] = {f: [] for f in FAMILIES}
        for moment in moments:
            number, at = shown[moment]
            stop = trunk.stops[moment]
            # What is left out of a clip by `last_seconds` is asked about all the same.
            oldest = first + 2 * stop.oldest if stop.oldest else 0
            for question in questions_for(
                reel.scenes[number],
                max(1.0, at),
                reel.chronicles[number],
                reel.window(oldest, first + 2 * stop.patches - 1),
            ):
                pools[question.family].append((moment, question))
        for pool in pools.values():
            rng.shuffle(pool)
        chosen: list[tuple[int, Question]] = []
        while len(chosen) < spec.questions and any(pools.values()):
            for family in (*FAMILIES, *spec.more):
                if pools[family]:
                    chosen.append(pools[family].pop())
        return chosen[: spec.questions]
