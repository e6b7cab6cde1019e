# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What questions bring to a branch, cut into passes that are bounded whatever their length."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
import dataclasses
from typing import TypeVar

import torch

from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.positions import StreamState
from streamvlm_ros.engine.stream.chunks import EncodedChunk

# Tokens of a pass.
PIECE = 512

R = TypeVar('R')


@dataclasses.dataclass(frozen=True)
class BranchPrompt:
    """What is prefilled on a branch.

    Attributes:
        chunk: the frames that wait for their chunk, which come first; None: there are none.
        passed_ns: time that passes after them without a token, as ``PositionRule.pass_time``
            has it; None: no time does.
        ids: of the text after that, down to where the answer begins.

    """

    chunk: EncodedChunk | None
    passed_ns: int | None
    ids: Sequence[int]


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """Tokens with their positions.

    Attributes:
        ids: of the tokens.
        positions: int64 [3, n].
        is_video: bool [n], which of them are video tokens.
        video: embeddings of these [v, hidden_size]; None where there are none.

    """

    ids: list[int]
    positions: torch.Tensor
    is_video: torch.Tensor
    video: torch.Tensor | None = None

    @classmethod
    def of(
        cls,
        rule: PositionRule,
        state: StreamState,
        prompt: BranchPrompt,
    ) -> tuple[Run, StreamState]:
        """Place a prompt after a state; return it, and the state after it."""
        ids, placed = list(prompt.ids), []
        if prompt.chunk is not None:
            positions, state = rule.place(state, prompt.chunk.ids, [prompt.chunk.part])
            ids = [*prompt.chunk.ids, *ids]
            placed.append(positions)
        if prompt.passed_ns is not None:
            state = rule.pass_time(state, prompt.passed_ns)
        positions, state = rule.place(state, prompt.ids)
        run = cls(
            ids,
            torch.cat([*placed, positions], dim=1),
            rule.is_video(ids),
            prompt.chunk.video if prompt.chunk is not None else None,
        )
        return run, state

    @classmethod
    def text(cls, ids: Sequence[int], first: int) -> Run:
        """Place text tokens one after the other, the first at position ``first``."""
        places = torch.arange(first, first + len(ids)).expand(3, -1)
        return cls(list(ids), places, torch.zeros(len(ids), dtype=torch.bool))

    @classmethod
    def joined(cls, runs: Sequence[Run]) -> Run:
        """Return runs one after the other; every token keeps its position."""
        video = [run.video for run in runs if run.video is not None]
        return cls(
            [token for run in runs for token in run.ids],
            torch.cat([run.positions for run in runs], dim=1),
            torch.cat([run.is_video for run in runs]),
            torch.cat(video) if video else None,
        )

    def __len__(self) -> int:
        """Return how many tokens there are."""
        return len(self.ids)

    def cut(self, start: int, end: int) -> Run:
        """Return the tokens from ``start`` to before ``end``."""
        first, last = int(self.is_video[:start].sum()), int(self.is_video[:end].sum())
        video = self.video[first:last] if self.video is not None and first < last else None
        return Run(
            self.ids[start:end], self.positions[:, start:end], self.is_video[start:end], video
        )

    def pieces(self) -> Iterator[tuple[int, Run]]:
        """Yield runs of at most PIECE tokens, and where each begins."""
        for start in range(0, len(self), PIECE):
            yield start, self.cut(start, min(start + PIECE, len(self)))


def finish(pieces: Generator[None, None, R]) -> R:
    """Run all passes of a generator that yields between two, and return what it returns."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            result: R = end.value
            return result
