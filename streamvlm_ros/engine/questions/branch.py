# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A branch: the stream's prefix read in place, and a private tail after it.

The stream may go on appending after the prefix while a branch decodes; the branch never writes
into the stream's buffers.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch

from streamvlm_ros.engine.kvcache.cache import StreamCache
from streamvlm_ros.engine.kvcache.contexts import BranchContext
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.positions import StreamState
from streamvlm_ros.engine.questions.pieces import BranchPrompt, Run
from streamvlm_ros.engine.runner.model_runner import ModelRunner


class Branch:
    """Tokens over the stream as it stood when the branch was opened.

    Attributes:
        state: position state at the end of the tail.
        context: what it sees, and its tail.
        runner: what runs the model.
        rule: gives tokens their positions.

    """

    def __init__(self, model: StreamingModel, stream: StreamCache, state: StreamState) -> None:
        """Open a branch; ``close`` must follow."""
        self.runner, self.rule = ModelRunner.of(model), model.position_rule
        self.state = state
        self.context = BranchContext(stream, model.new_tail())

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
