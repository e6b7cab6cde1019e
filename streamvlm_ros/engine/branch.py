# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A branch: the stream's prefix read in place, and a private tail behind it.

The stream may go on appending behind the prefix while a branch decodes; the branch never writes
into the stream's buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import itertools

import torch

from streamvlm_ros.engine.branch_attention import BranchContext
from streamvlm_ros.engine.cache import StreamCache
from streamvlm_ros.engine.model import StreamQwenModel
from streamvlm_ros.engine.positions import StreamState, VideoPart


@dataclasses.dataclass(frozen=True)
class ChoicePrompt:
    """A choice question behind what is cached.

    Attributes:
        ids: the prompt, down to where the answer begins.
        choices: ids of every choice.
        video: embeddings of the prompt's video tokens [v, hidden_size], if it has any.
        parts: where these stand.

    """

    ids: Sequence[int]
    choices: Sequence[Sequence[int]]
    video: torch.Tensor | None = None
    parts: tuple[VideoPart, ...] = ()


class Branch:
    """One question's tokens over the stream as it stood when the branch was opened.

    Attributes:
        state: position state at the end of the tail.
        context: what it sees, and its tail, which is its whole memory.

    """

    def __init__(self, model: StreamQwenModel, stream: StreamCache, state: StreamState) -> None:
        """Open a branch; ``close`` must follow."""
        self._model = model
        self.state = state
        self.context = BranchContext(stream, model.new_tail())

    def close(self) -> None:
        """Free the tail, and what it saw of the stream.  May be called again."""
        self.context.close()

    def prefill(self, ids: Sequence[int], video: torch.Tensor | None = None,
                parts: Sequence[VideoPart] = ()) -> torch.Tensor:
        """Prefill tokens behind the tail; return float32 logits [vocabulary] of the last."""
        positions, state = self._model.position_rule.place(self.state, ids, parts)
        hidden = self._model.prefill(self._model.embed(ids, video), positions, self.context)
        self.state = state
        return self._model.logits(hidden[-1:])[0]

    def score(self, prompts: Sequence[ChoicePrompt]) -> list[torch.Tensor]:
        """Score choice questions, all in one prefill; the tail is of no use behind it.

        The tokens form a tree: a prompt sees the prefix and itself, a choice's tokens see their
        prompt and themselves besides.  Every prompt begins at the same position, and so do all
        choices of one prompt.

        Returns:
            For each prompt, float32 [choices]: log-probability of every choice behind it.

        """
        hidden, positions, spans = [], [], []
        start = 0
        for prompt in prompts:
            placed, state = self._model.position_rule.place(self.state, prompt.ids, prompt.parts)
            first = state.last_cache_position + 1
            # A choice's last token is scored, never fed.
            fed = [list(choice[:-1]) for choice in prompt.choices]
            hidden.append(self._model.embed([*prompt.ids, *(i for ids in fed for i in ids)],
                                            prompt.video))
            positions += [placed, *(torch.arange(first, first + len(ids)).expand(3, -1)
                                    for ids in fed)]
            ends = [start + len(prompt.ids)]
            for ids in fed:
                ends.append(ends[-1] + len(ids))
            spans.append([slice(start, ends[0]),
                          *(slice(a, b) for a, b in itertools.pairwise(ends))])
            start = ends[-1]
        self.context.mask = _tree_mask(spans, start).to(hidden[0].device)
        try:
            seen = self._model.prefill(torch.cat(hidden), torch.cat(positions, dim=1),
                                       self.context)
        finally:
            self.context.mask = None
        return [self._scores(seen, each, prompt.choices)
                for each, prompt in zip(spans, prompts)]

    def _scores(self, hidden: torch.Tensor, spans: Sequence[slice],
                choices: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return the log-probability of every choice of one prompt."""
        root, *leaves = spans
        rows = [[root.stop - 1, *range(leaf.start, leaf.stop)] for leaf in leaves]
        flat = [row for each in rows for row in each]
        logprobs = self._model.logits(hidden[flat]).log_softmax(-1)
        wanted = torch.tensor([i for choice in choices for i in choice], device=logprobs.device)
        each = logprobs.gather(1, wanted[:, None])[:, 0].split([len(row) for row in rows])
        return torch.stack([part.sum() for part in each])


def _tree_mask(trees: Sequence[Sequence[slice]], tokens: int) -> torch.Tensor:
    """Return who sees whom, bool [tokens, tokens], for a root and its leaves a tree."""
    mask = torch.zeros(tokens, tokens, dtype=torch.bool)
    for root, *leaves in trees:
        for span in (root, *leaves):
            mask[span, span] = True
        for leaf in leaves:
            mask[leaf, root] = True
    return mask.tril_()
