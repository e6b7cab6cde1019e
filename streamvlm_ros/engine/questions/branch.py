# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A branch: it reads the stream's prefix in place, and has a private tail after that.

The stream may go on appending after the prefix while a branch decodes; the branch never writes
into the stream's buffers.  A question is prefilled on it in passes of bounded length.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
import dataclasses
from typing import TypeVar

import torch

from streamvlm_ros.engine.kvcache.cache import StreamCache
from streamvlm_ros.engine.kvcache.contexts import BranchContext
from streamvlm_ros.engine.kvcache.view_room import FreshPrefix
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.models.position_rule import PositionRule
from streamvlm_ros.engine.positions import StreamState
from streamvlm_ros.engine.runner.model_runner import ModelRunner
from streamvlm_ros.engine.stream.chunks import EncodedChunk

# Most tokens of one pass.
PIECE = 512

R = TypeVar('R')


@dataclasses.dataclass(frozen=True)
class BranchPrompt:
    """What is prefilled on a branch.

    Attributes:
        chunk: the frames that wait for their chunk, which come first; None: no frame waits.
        passed_ns: time that passes after them without a token, as ``PositionRule.pass_time``
            has it; None: no time does.
        ids: of the text after that, up to where the answer begins.

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
        video: embeddings of these [v, hidden_size]; None: there is no video token.

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
            positions, state = rule.place(state, prompt.chunk.ids, prompt.chunk.parts)
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


class Branch:
    """Tokens over the stream as it stood when the branch was opened, or over fresh frames.

    Attributes:
        state: position state at the end of the tail.
        context: what it sees, and its tail.
        runner: what runs the model.
        rule: gives tokens their positions.

    """

    def __init__(
        self,
        model: StreamingModel,
        stream: StreamCache | None,
        state: StreamState,
        fresh: FreshPrefix | None = None,
    ) -> None:
        """Open a branch; ``close`` must follow.

        Args:
            model: what runs it.
            stream: what it sees of a stream; None: nothing.
            state: position state after that.
            fresh: where the frames of its view go, which come before anything else.

        """
        self.runner, self.rule = ModelRunner.of(model), model.position_rule
        self.state = state
        self.context = BranchContext(stream, model.new_tail(), fresh)

    def close(self) -> None:
        """Free the tail, and release what it saw of the stream.  May be called again."""
        self.context.close()

    def prefill(self, ids: Sequence[int]) -> torch.Tensor:
        """Prefill a few text tokens after the tail in one pass.

        Returns:
            Float32 logits [vocabulary] of the last one.

        """
        positions, state = self.rule.place(self.state, ids)
        logits = self.runner.prefill(ids, positions, self.context, keep=(-1,))
        self.state = state
        assert logits is not None
        return logits[0]

    @torch.inference_mode()
    def prefill_pieces(self, prompt: BranchPrompt) -> Generator[None, None, torch.Tensor]:
        """Prefill a prompt after the tail, in passes of at most ``PIECE`` tokens.

        The generator yields between two passes.  If it is closed there, or a pass fails, the
        branch must be closed; the stream is as it was.

        Returns:
            Float32 logits [vocabulary] of the last token.

        Raises:
            ValueError: the prompt has no token.

        """
        run, state = Run.of(self.rule, self.state, prompt)
        logits: torch.Tensor | None = None
        for start, piece in run.pieces():
            if start:
                yield
            keep = (-1,) if start + len(piece) == len(run) else ()
            logits = self.runner.prefill(
                piece.ids, piece.positions, self.context, piece.video, keep
            )
        if logits is None:
            raise ValueError('The prompt is empty; there is nothing to prefill.')
        self.state = state
        return logits[0]


def finish(pieces: Generator[None, None, R]) -> R:
    """Run all passes of a generator that yields between two, and return what it returns."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            result: R = end.value
            return result
