# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A branch: the stream's prefix read in place, and a private tail behind it.

The stream may go on appending behind the prefix while a branch decodes; the branch never writes
into the stream's buffers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from streamvlm_ros.engine.attention import causal_mask
from streamvlm_ros.engine.cache import KeysValues, StreamCache
from streamvlm_ros.engine.model import StreamQwenModel
from streamvlm_ros.engine.positions import StreamState, VideoPart


class _TailContext:
    """A KV context: everything sees the stream's prefix, new tokens go to the tail."""

    def __init__(self, stream: StreamCache, tail: StreamCache) -> None:
        self._stream = stream
        self._prefix = stream.length
        self._tail = tail

    def reserve(self, tokens: int) -> None:
        self._tail.reserve(tokens)

    def write(self, layer: int, keys: torch.Tensor, values: torch.Tensor,
              ) -> tuple[KeysValues, KeysValues]:
        self._tail.write(layer, keys, values)
        end = self._tail.length + keys.shape[1]
        return self._stream.view(layer, 0, self._prefix), self._tail.view(layer, 0, end)

    def advance(self, tokens: int) -> None:
        self._tail.advance(tokens)


class Branch:
    """One question's tokens over the stream as it stood when the branch was opened.

    Attributes:
        state: position state at the end of the tail.
        tail: the branch's own keys and values; its whole memory.

    """

    def __init__(self, model: StreamQwenModel, stream: StreamCache, state: StreamState,
                 tail_tokens: int) -> None:
        """Open a branch with room for ``tail_tokens``."""
        self._model = model
        self.tail = model.new_cache(tail_tokens)
        self.state = state
        self._context = _TailContext(stream, self.tail)

    def prefill(self, ids: Sequence[int], video: torch.Tensor | None = None,
                parts: Sequence[VideoPart] = ()) -> torch.Tensor:
        """Prefill tokens behind the tail; return float32 logits [vocabulary] of the last."""
        positions, state = self._model.position_rule.place(self.state, ids, parts)
        hidden = self._model.embed(ids, video)
        mask = causal_mask(len(ids), self.tail.length + len(ids), hidden.device)
        hidden = self._model.prefill(hidden, positions, self._context, mask)
        self.state = state
        return self._model.logits(hidden[-1:])[0]

    def score(self, ids: Sequence[int], choices: Sequence[Sequence[int]],
              video: torch.Tensor | None = None, parts: Sequence[VideoPart] = (),
              ) -> torch.Tensor:
        """Return float32 [len(choices)]: log-probability of every choice behind the prompt.

        One prefill takes the prompt and all choices: a choice's tokens see the prompt and
        themselves, and each choice begins at the same position.
        """
        positions, state = self._model.position_rule.place(self.state, ids, parts)
        first = state.last_cache_position + 1
        fed = [list(choice[:-1]) for choice in choices]
        spans, start = [], len(ids)
        for choice in fed:
            spans.append(slice(start, start + len(choice)))
            start += len(choice)
        everything = [*ids, *(token for choice in fed for token in choice)]
        follow = [torch.arange(first, first + len(choice)).expand(3, -1) for choice in fed]
        hidden = self._model.embed(everything, video)
        mask = causal_mask(start, start, hidden.device)
        for span in spans:
            mask[span, len(ids):span.start] = False
        hidden = self._model.prefill(hidden, torch.cat([positions, *follow], dim=1),
                                     self._context, mask)
        scores = []
        logprobs = self._model.logits(hidden[len(ids) - 1:]).log_softmax(-1)
        for span, tokens in zip(spans, choices):
            rows = [0, *range(span.start - len(ids) + 1, span.stop - len(ids) + 1)]
            scores.append(logprobs[rows, list(tokens)].sum())
        return torch.stack(scores)
