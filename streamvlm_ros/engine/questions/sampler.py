# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How the next token of an answer is chosen from logits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import dataclasses

import torch

from streamvlm_ros.answer_settings import AnswerSettings, BOUNDS
from streamvlm_ros.engine.models.generation import GenerationSettings, PLAIN
from streamvlm_ros.engine.ops.sampling import penalize, warp


@dataclasses.dataclass(frozen=True)
class SamplingParams:
    """How the tokens of one answer are chosen.

    Attributes:
        temperature: 0 takes the most probable token after the penalty.
        top_p: only the most probable tokens that hold this share are drawn from.
        top_k: only so many of the most probable tokens are drawn from; 0: all.
        min_p: only tokens at least this share as probable as the most probable one are.
        repetition_penalty: scores of tokens that prompt or answer have are divided by it where
            positive, multiplied where negative.
        seed: of the random numbers.

    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0

    @classmethod
    def of(cls, asked: AnswerSettings, model: GenerationSettings) -> SamplingParams:
        """Return what a question asks for, and where it leaves something open, what a model says.

        A robot wants the same answer twice: tokens are drawn only if the question says so, also
        where the model's folder would draw.
        """
        base = PLAIN if asked.generation == 'plain' else model
        temperature = asked.temperature or (base.temperature if asked.sample else 0.0)
        return cls(
            temperature if temperature >= BOUNDS['temperature'][0] else 0.0,
            asked.top_p or base.top_p,
            asked.top_k or base.top_k,
            asked.min_p or base.min_p,
            asked.repetition_penalty or base.repetition_penalty,
            asked.seed,
        )

    @property
    def draws(self) -> bool:
        """Whether tokens are drawn at random."""
        return self.temperature > 0

    @property
    def plain(self) -> bool:
        """Whether the most probable token is always taken, whatever was there before."""
        return not self.draws and self.repetition_penalty == 1.0


class Sampler:
    """Chooses the tokens of one answer.

    Attributes:
        params: how.

    """

    def __init__(self, params: SamplingParams, ids: Iterable[int]) -> None:
        """Choose by these; ``ids`` are all that the prompt has, each at least once."""
        self.params = params
        self._prompt = ids
        self._seen: torch.Tensor | None = None
        self._counted = 0  # tokens of the answer that are marked as seen
        self._generator: torch.Generator | None = None

    def choose(self, logits: torch.Tensor, tokens: Sequence[int]) -> int:
        """Choose the next token.

        Args:
            logits: float32 [vocabulary].
            tokens: of the answer so far.

        """
        params, scores = self.params, logits[None]
        if params.repetition_penalty != 1.0:
            if self._seen is None:
                self._seen = torch.zeros_like(logits, dtype=torch.bool)
                _mark(self._seen, sorted(self._prompt))
            scores = penalize(scores, self.seen(tokens)[None], params.repetition_penalty)
        if not params.draws:
            return int(scores.argmax())
        if self._generator is None:
            self._generator = torch.Generator(logits.device).manual_seed(params.seed)
        scores = warp(scores, params.temperature, params.top_k, params.top_p, params.min_p)
        return int(torch.multinomial(scores.softmax(-1), 1, generator=self._generator))

    def seen(self, tokens: Sequence[int]) -> torch.Tensor:
        """Return bool [vocabulary]: what prompt and answer have; after the first ``choose``."""
        assert self._seen is not None
        if self._counted < len(tokens):
            _mark(self._seen, tokens[self._counted :])
            self._counted = len(tokens)
        return self._seen


def _mark(seen: torch.Tensor, ids: Sequence[int]) -> None:
    """Mark ids as seen; the host does not wait for the device."""
    places = torch.tensor(ids, dtype=torch.long)
    if seen.is_cuda:
        places = places.pin_memory().to(seen.device, non_blocking=True)
    seen.index_fill_(0, places, True)
