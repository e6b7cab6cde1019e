# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A branch: the stream's prefix read in place, and a private tail behind it.

The stream may go on appending behind the prefix while a branch decodes; the branch never writes
into the stream's buffers.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch

from streamvlm_ros.engine.kvcache.cache import StreamCache
from streamvlm_ros.engine.kvcache.contexts import BranchContext
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.positions import StreamState
from streamvlm_ros.engine.questions.pieces import (
    BranchPrompt,
    ChoicePrompt,
    Run,
    scoring_passes,
    ScoringPass,
)
from streamvlm_ros.engine.runner.model_runner import ModelRunner


class Branch:
    """One question's tokens over the stream as it stood when the branch was opened.

    Attributes:
        state: position state at the end of the tail.
        context: what it sees, and its tail, which is its whole memory.

    """

    def __init__(self, model: StreamingModel, stream: StreamCache, state: StreamState) -> None:
        """Open a branch; ``close`` must follow."""
        self._runner, self._rule = ModelRunner.of(model), model.position_rule
        self.state = state
        self.context = BranchContext(stream, model.new_tail())

    def close(self) -> None:
        """Free the tail, and what it saw of the stream.  May be called again."""
        self.context.close()

    def prefill(self, ids: Sequence[int]) -> torch.Tensor:
        """Prefill a few text tokens after the tail in one pass.

        Returns:
            Float32 logits [vocabulary] of the last one.

        """
        positions, state = self._rule.place(self.state, ids)
        logits = self._runner.prefill(ids, positions, self.context, keep=(-1,))
        self.state = state
        assert logits is not None
        return logits[0]

    @torch.inference_mode()
    def prefill_pieces(self, prompt: BranchPrompt) -> Generator[None, None, torch.Tensor]:
        """Prefill a prompt after the tail, in passes of at most ``PIECE`` tokens.

        It yields between two passes.  Where it is given up there, or a pass fails, the branch is
        to be closed; the stream is as it was.

        Returns:
            Float32 logits [vocabulary] of the last token.

        Raises:
            ValueError: the prompt has no token.

        """
        run, state = Run.of(self._rule, self.state, prompt)
        logits: torch.Tensor | None = None
        for start, piece in run.pieces():
            if start:
                yield
            keep = (-1,) if start + len(piece) == len(run) else ()
            logits = self._runner.prefill(
                piece.ids, piece.positions, self.context, piece.video, keep
            )
        if logits is None:
            raise ValueError('The prompt is empty; there is nothing to prefill.')
        self.state = state
        return logits[0]

    @torch.inference_mode()
    def score_pieces(
        self,
        prompts: Sequence[ChoicePrompt],
    ) -> Generator[None, None, list[torch.Tensor]]:
        """Score choice questions, in passes of at most ``PIECE`` tokens.

        Every one is scored as if it were alone after the tail, which is as it was afterwards.
        It yields between two passes, and may be given up there.

        Returns:
            For each prompt, float32 [choices]: log-probability of every choice after it.

        """
        tail = self.context.tail
        length = tail.length
        passes = scoring_passes(self._rule, self.state, prompts, length)
        scored = []
        try:
            for index, each in enumerate(passes):
                if index:
                    yield
                tail.truncate(each.tail)
                scored.append(self._score(each))
        finally:
            tail.truncate(length)
        choices = [choice for each in passes for choice, _, _ in each.scores]
        # A choice's scores in the order of its tokens.
        order = torch.tensor(choices).argsort(stable=True)
        tokens = [len(choice) for prompt in prompts for choice in prompt.choices]
        every = torch.cat([scores for scores in scored if scores is not None])
        sums = torch.stack([part.sum() for part in every[order.to(every.device)].split(tokens)])
        return list(sums.split([len(prompt.choices) for prompt in prompts]))

    def _score(self, each: ScoringPass) -> torch.Tensor | None:
        """Run a pass of scoring; return float32 [scores], None where nothing is scored in it."""
        self.context.tree = each.tree
        try:
            return self._runner.prefill(
                each.run.ids,
                each.run.positions,
                self.context,
                each.run.video,
                [row for _, row, _ in each.scores],
                [token for _, _, token in each.scores],
            )
        finally:
            self.context.tree = None
