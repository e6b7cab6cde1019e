# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What bounded memory is held to: the whole history in one forward, masked by what was gone.

Written apart from the engine on purpose: token by token, in lists, with stock modules.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
from support.models.random_models import PIXELS, processor
from support.reference.forward import forward
from support.reference.offline import stock_model
import torch

from streamvlm_ros.engine.models.preprocessing import to_patches

SYSTEM = '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n'
ASSISTANT = '<|im_end|>\n<|im_start|>assistant\n'
TURN_END = '<|im_end|>\n'
NEXT_USER = '<|im_start|>user\n'


def encode(text: str) -> list[int]:
    """Return token ids."""
    return processor().tokenizer.encode(text, add_special_tokens=False)


@dataclasses.dataclass
class Item:
    """Something that is kept or goes as a whole."""

    kind: str
    group: int
    tokens: list[int]
    time: float = 0.0
    stamp: float = 0.0
    frame: int = 0


@dataclasses.dataclass
class Pass:
    """Tokens that were run together, what they saw, and the positions of then."""

    tokens: range
    seen: list[int]
    positions: list[list[int]]


class ReferenceStream:
    """A stream that forgets nothing and masks what the engine would have dropped."""

    def __init__(
        self,
        shape: str,
        chunk: int,
        append: bool,
        limit: int,
        seconds: float = 0.0,
        kept_turns: int = 8,
        largest: int = 10**9,
    ) -> None:
        """Begin empty."""
        self.shape, self.chunk, self.append = shape, chunk, append
        self.limit, self.seconds, self.kept_turns = limit, seconds, kept_turns
        self.largest = largest
        self.ids: list[int] = []
        self.positions: list[list[int]] = []  # of every token, as they are now
        self.items: list[Item] = []  # what is kept
        self.passes: list[Pass] = []
        self.patches: list[torch.Tensor] = []
        self.grids: list[list[int]] = []
        self.pending: list[tuple[np.ndarray, float, int]] = []
        self.place = 'nothing'
        self.size: tuple[int, ...] | None = None
        self.last, self.segment, self.turn = -1, -1, -1
        self.origin: int | None = None  # of the open segment; its T at its start; its start
        self.t0, self.start, self.extent = 0, 0.0, 0
        self.count = self.evicted = self.rebased = 0

    def kept(self) -> list[int]:
        """Return the tokens that are kept."""
        return [token for item in self.items for token in item.tokens]

    def frame(self, image: np.ndarray, second: float) -> None:
        """Take a frame."""
        if self.pending and self.pending[-1][0].shape != image.shape:
            frames = self.pending
            self.pending = []
            self.flush(frames + frames[-1:] * (len(frames) % 2))
        self.pending.append((image, second, self.count))
        self.count += 1
        if len(self.pending) == self.chunk:
            frames, self.pending = self.pending, []
            self.flush(frames)

    def flush(self, frames: list[tuple[np.ndarray, float, int]]) -> None:
        """Prefill frames; positions beyond the limit are counted anew before."""
        self.settle(self.largest)
        pieces = self.chunk_items(frames)
        tokens = sum(len(ids) for _, ids, _ in pieces)
        self.make_room(tokens, frames, goes_on=pieces[0][0].kind == 'patch')
        self.run(pieces)
        self.settle(self.largest * 4 // 3)

    def ask(self, question: str, new_tokens: int, keep: bool) -> tuple[list[int], torch.Tensor]:
        """Return the greedy answer's tokens and the first one's logits."""
        branch = copy.deepcopy(self)
        odd = [*self.pending, *self.pending[-1:] * (len(self.pending) % 2)]
        pieces = branch.chunk_items(odd) if odd else []
        behind = {
            'nothing': [],
            'video': encode('<|vision_end|>'),
            'user': [],
            'end': encode(NEXT_USER),
        }
        place = ('user' if self.append else 'video') if odd else self.place
        lead = (
            Item('mark', branch.segment, []) if place == 'video' else Item('turn', self.turn, [])
        )
        if behind[place]:
            pieces.append((lead, behind[place], None))
        asked = encode(question + ASSISTANT)
        end = encode(TURN_END)
        tokens: list[int] = []
        first = None
        while len(tokens) < new_tokens and end[0] not in tokens:
            trial = copy.deepcopy(branch)
            trial.run([*pieces, (Item('turn', self.turn + 1, []), asked + tokens, None)])
            logits = trial.logits()
            first = logits if first is None else first
            tokens.append(int(logits.argmax()))
        assert first is not None
        if keep:
            answer = (tokens[:-1] if tokens[-1] == end[0] else tokens) + end
            turn = Item('turn', self.turn + 1, [])
            pieces.append((turn, asked + answer, None))
            segment, alive = branch.segment, list(self.items)
            opens = bool(odd) and pieces[0][0].kind != 'patch'
            total = sum(len(ids) for _, ids, _ in pieces)
            seen = self.kept()
            self.make_room(total, odd, goes_on=bool(odd) and not opens)
            self.segment = segment if odd else self.segment
            self.patches, self.grids = branch.patches, branch.grids
            self.run(pieces, seen)
            assert len(self.items) <= len(alive) + len(pieces)
            self.turn += 1
            self.place, self.pending, self.origin = 'end', [], None
            turns = sorted({item.group for item in self.items if item.kind == 'turn'})
            self.drop(
                [
                    item
                    for item in self.items
                    if item.kind == 'turn' and item.group in turns[: -self.kept_turns]
                ]
            )
            self.settle(self.largest * 4 // 3)
        return tokens, first

    def chunk_items(self, frames: list[tuple[np.ndarray, float, int]]) -> list:
        """Return a chunk's items with their ids, and the patches' places; note its pixels."""
        cut, grid = to_patches([image for image, _, _ in frames], PIXELS, torch.device('cpu'))
        self.patches.append(cut)
        self.grids.append([grid.t, 2 * grid.h, 2 * grid.w])
        pieces: list[tuple[Item, list[int], Any]] = []
        size = frames[0][0].shape
        if self.append or self.place != 'video' or size != self.size:
            if self.place == 'nothing':
                pieces.append((Item('prefix', 0, []), encode(SYSTEM + '<|vision_start|>'), None))
            else:
                if self.place == 'video':
                    pieces.append((Item('mark', self.segment, []), encode('<|vision_end|>'), None))
                if self.place == 'end':
                    pieces.append((Item('turn', self.turn, []), encode(NEXT_USER), None))
                pieces.append(
                    (Item('mark', self.segment + 1, []), encode('<|vision_start|>'), None)
                )
            self.segment += 1
        pad = encode('<|video_pad|>')
        for _, second, number in frames[::2]:
            pieces.append(
                (
                    Item('patch', self.segment, [], second, second, number),
                    pad * (grid.h * grid.w),
                    (grid.h, grid.w),
                )
            )
        if self.append:
            pieces.append((Item('mark', self.segment, []), encode('<|vision_end|>'), None))
        self.place, self.size = 'user' if self.append else 'video', size
        return pieces

    def rate(self) -> float:
        """Return by how much T goes on in a second of video."""
        return stock_model(self.shape).config.vision_config.tokens_per_second

    def logits(self) -> torch.Tensor:
        """Return the last token's logits, of one forward over the whole history."""
        return forward(self)

    def run(self, pieces: list, seen: list[int] | None = None) -> None:
        """Place tokens, and note what they see."""
        rate, begin = self.rate(), len(self.ids)
        seen = self.kept() if seen is None else seen
        for item, ids, grid in pieces:
            item = copy.copy(item)
            item.tokens = list(range(len(self.ids), len(self.ids) + len(ids)))
            self.items.append(item)
            self.ids += ids
            if grid is None:
                self.origin = None
                self.positions += [[self.last + 1 + i] * 3 for i in range(len(ids))]
                self.last += len(ids)
                continue
            if self.origin is None:
                self.origin = self.t0 = self.last + 1
                self.start, self.extent = item.time, max(grid)
            step = math.floor(round((item.time - self.start) * 1e9) * rate / 1e9)
            self.positions += [
                [self.t0 + step, self.origin + y, self.origin + x]
                for y in range(grid[0])
                for x in range(grid[1])
            ]
            self.last = max(self.last, self.t0 + step, self.origin + self.extent - 1)
        self.passes.append(
            Pass(range(begin, len(self.ids)), seen, [list(row) for row in self.positions])
        )

    def make_room(self, tokens: int, frames: list, goes_on: bool) -> None:
        """Drop what has to go for so many tokens."""
        gone: list[Item] = []
        patches = [item for item in self.items if item.kind == 'patch']
        if self.seconds and frames:
            begins = round(frames[-2][1] * 1e9) - round(self.seconds * 1e9)
            for i, item in enumerate(patches):
                until = patches[i + 1].time if i + 1 < len(patches) else frames[0][1]
                if round(until * 1e9) <= begins:
                    gone.append(item)
        over = len(self.kept()) - sum(len(item.tokens) for item in gone) + tokens - self.limit
        for item in [*patches, *(item for item in self.items if item.kind == 'turn')]:
            if over > 0 and item not in gone:
                gone.append(item)
                over -= len(item.tokens)
        turns = {item.group for item in gone if item.kind == 'turn'}
        gone += [
            item
            for item in self.items
            if item.kind == 'turn' and item.group in turns and item not in gone
        ]
        self.drop_with_marks(gone, goes_on)

    def drop_with_marks(self, gone: list[Item], goes_on: bool) -> None:
        """Drop items, and the marks of segments that have no patch left."""
        left = {item.group for item in self.items if item.kind == 'patch' and item not in gone}
        if goes_on:
            left.add(self.segment)
        self.drop(
            gone + [item for item in self.items if item.kind == 'mark' and item.group not in left]
        )

    def drop(self, gone: list[Item]) -> None:
        """Drop items."""
        self.evicted += sum(len(item.tokens) for item in gone)
        self.items = [item for item in self.items if item not in gone]

    def settle(self, limit: int) -> None:
        """Close the gaps in the positions when they have become larger than a limit."""
        if self.last <= limit:
            return
        new, last, origin, t0 = self.renumbered()
        far = [
            item
            for item in self.items
            if item.kind == 'patch' and new[item.tokens[0]][0] < last - self.largest * 3 // 4
        ]
        if far:
            self.drop_with_marks(far, goes_on=True)
            new, last, origin, t0 = self.renumbered()
        self.rebased += last != self.last
        for token, row in new.items():
            self.positions[token] = row
        self.last, self.origin, self.t0 = last, origin, t0

    def renumbered(self) -> tuple[dict[int, list[int]], int, int | None, int]:
        """Return new positions of what is kept, the last one, and the open segment's places."""
        new: dict[int, list[int]] = {}
        by, hw_by = 0, 0  # what T, and H and W, go back by
        previous: Item | None = None
        for item in self.items:
            old = [self.positions[token] for token in item.tokens]
            follows = previous is None or previous.tokens[-1] + 1 == item.tokens[0]
            if item.kind != 'patch':
                if not follows:
                    by = old[0][0] - 1 - max(max(row) for row in new.values())
                hw_by = by
            elif (
                previous is None
                or not follows
                or previous.kind != 'patch'
                or previous.group != item.group
            ):
                hw_by = by
                if not follows:
                    origin = old[0][1] - hw_by
                    by = old[0][0] - origin
                    behind = [
                        other
                        for other in self.items
                        if other.kind != 'patch' and other.tokens[0] > item.tokens[0]
                    ]
                    if behind:
                        side = max(max(y for _, y, _ in old), max(x for _, _, x in old))
                        size = side - old[0][1] + 1
                        by = min(by, self.positions[behind[0].tokens[0]][0] - origin - size)
            for token, (t, y, x) in zip(item.tokens, old):
                new[token] = [t - by, y - hw_by, x - hw_by]
            previous = item
        if self.origin is None:
            return new, self.last - by, None, 0
        assert previous is not None and previous.kind == 'patch', (
            'The reference needs a patch in the open segment.'
        )
        origin = self.origin - hw_by
        return new, max(self.last - by, origin + self.extent - 1), origin, self.t0 - by
