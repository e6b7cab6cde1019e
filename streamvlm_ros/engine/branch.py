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
        logits = self._model.extend(ids, positions, self.context, video, keep=(-1,))
        self.state = state
        assert logits is not None
        return logits[0]

    def score(self, prompts: Sequence[ChoicePrompt]) -> list[torch.Tensor]:
        """Score choice questions, all in one prefill; the tail is of no use behind it.

        The tokens form a tree: a prompt sees the prefix and itself, a choice's tokens see their
        prompt and themselves besides.  Every prompt begins at the same position, and so do all
        choices of one prompt.

        Returns:
            For each prompt, float32 [choices]: log-probability of every choice behind it.

        """
        ids: list[int] = []
        positions, spans, keep = [], [], []
        for prompt in prompts:
            placed, state = self._model.position_rule.place(self.state, prompt.ids, prompt.parts)
            first = state.last_cache_position + 1
            # A choice's last token is scored, never fed.
            fed = [list(choice[:-1]) for choice in prompt.choices]
            positions += [placed, *(torch.arange(first, first + len(each)).expand(3, -1)
                                    for each in fed)]
            root = slice(len(ids), len(ids) + len(prompt.ids))
            ends = list(itertools.accumulate((len(each) for each in fed), initial=root.stop))
            spans.append([root, *(slice(a, b) for a, b in itertools.pairwise(ends))])
            ids += [*prompt.ids, *itertools.chain.from_iterable(fed)]
            for leaf in spans[-1][1:]:
                keep += [root.stop - 1, *range(leaf.start, leaf.stop)]
        video = [prompt.video for prompt in prompts if prompt.video is not None]
        self.context.mask = _tree_mask(spans, len(ids)).to(self._model.device)
        try:
            logits = self._model.extend(ids, torch.cat(positions, dim=1), self.context,
                                        torch.cat(video) if video else None, keep)
        finally:
            self.context.mask = None
        assert logits is not None
        choices = [choice for prompt in prompts for choice in prompt.choices]
        wanted = torch.tensor([i for choice in choices for i in choice], device=logits.device)
        each = logits.log_softmax(-1).gather(1, wanted[:, None])[:, 0]
        sums = torch.stack([part.sum() for part in each.split([len(c) for c in choices])])
        return list(sums.split([len(prompt.choices) for prompt in prompts]))


def _tree_mask(trees: Sequence[Sequence[slice]], tokens: int) -> torch.Tensor:
    """Return who sees whom, bool [tokens, tokens], for a root and its leaves a tree."""
    mask = torch.zeros(tokens, tokens, dtype=torch.bool)
    for root, *leaves in trees:
        for span in (root, *leaves):
            mask[span, span] = True
        for leaf in leaves:
            mask[leaf, root] = True
    return mask.tril_()
