# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The engine's side of `benchmark.speed`: one stream, filled once, measured on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmark.common.timing import quartiles, Timer
from streamvlm_ros.engine import (
    KVCacheManager,
    StreamSettings,
    VideoStreamingInference,
)
from streamvlm_ros.engine.models.base import StreamingModel

PIXELS, FRAMES, QUESTION_TOKENS, ANSWER_TOKENS, BRANCHES = 448, 4, 32, 64, 8
WARM, TIMES = 2, 7  # chunks
ROUNDS = 12  # decode steps that are timed as one, as in an answer


def patch_tokens(model: StreamingModel) -> int:
    """Return the tokens of a temporal patch of these frames."""
    return (PIXELS // model.family.pixels.factor) ** 2


def chunk_tokens(model: StreamingModel) -> int:
    """Return about how many tokens a chunk takes; the texts of times are a few of them."""
    texts = 10 if model.family.patch_text else 0
    return FRAMES // 2 * (patch_tokens(model) + texts)


class Ours:
    """A stream that gets longer."""

    def __init__(self, model: StreamingModel, processor: Any, longest: int, timed: Timer) -> None:
        """Begin an empty stream with room for `longest` tokens and the timed work after them."""
        self._model, self._timed = model, timed
        self._size = chunk_tokens(model)
        self._engine = VideoStreamingInference(
            model,
            processor,
            settings=StreamSettings(
                sample_rate=0.0,
                chunk_frames=FRAMES,
                max_pixels=PIXELS**2,
                min_pixels=PIXELS**2,
                memory_tokens=longest + (WARM + TIMES + 5) * self._size,
            ),
        )
        rng = np.random.default_rng(0)
        self._images = rng.integers(0, 256, (FRAMES, PIXELS, PIXELS, 3), np.uint8)
        self._stamp = 0
        self._question = ''

    def measure(self, cached: int) -> dict[str, Any]:
        """Return quartiles in ms, and how many tokens were cached when they were taken.

        The chunks are those around `cached`: the median's sees just that.
        """
        while self._tokens() < cached - (WARM + TIMES // 2) * self._size:
            self._chunk()
        begun = self._tokens()
        chunks = self._timed(self._chunk, TIMES, WARM)
        seen = begun + (WARM + TIMES // 2) * self._size
        self._question = self._question or self._fitting_question()
        first, each = self._answers()
        one, many = self._rounds(1), self._rounds(BRANCHES)
        snapshot, allocated = self._snapshots()
        return {
            'chunk_cached': seen,
            'chunk_ms': quartiles(chunks),
            'cached': self._tokens(),
            'ttft_ms': quartiles(first),
            'token_ms': quartiles(each),
            'round_of_1_ms': quartiles(one),
            f'round_of_{BRANCHES}_ms': quartiles(many),
            'snapshot_ms': quartiles(snapshot),
            'snapshot_bytes': allocated,
        }

    def _tokens(self) -> int:
        return self._engine.get_cache_info().tokens

    def _chunk(self) -> None:
        for image in self._images:
            self._stamp += 250_000_000
            self._engine.append_frame(image, self._stamp)

    def _fitting_question(self) -> str:
        """Return a question that takes QUESTION_TOKENS with what the template puts around it."""
        question = 'yes ' * QUESTION_TOKENS
        before = self._tokens()
        while self._engine.ask(question, 1)[1]['prompt_tokens'] - before > QUESTION_TOKENS:
            question = question.removesuffix('yes ')
        return question

    def _answers(self) -> tuple[list[float], list[float]]:
        """Return times to first token, and times of a token in answers."""
        first, each = [], []
        for number in range(WARM + 9):
            # A prefill that still runs is not part of the question.
            self._timed.wait()
            metrics = self._engine.ask(self._question, 1)[1]
            if number >= WARM:
                first.append(1e3 * metrics['ttft'])
        for number in range(6):
            metrics = self._engine.ask(self._question, ANSWER_TOKENS)[1]
            if number:
                each.append(
                    1e3 * (metrics['total'] - metrics['ttft']) / (metrics['completion_tokens'] - 1)
                )
        return first, each

    def _rounds(self, branches: int) -> list[float]:
        """Return the time of a decode step of several open answers."""
        questions = self._engine.questions
        opened = [questions.open(self._question, ANSWER_TOKENS) for _ in range(branches)]

        def rounds() -> None:
            for _ in range(ROUNDS):
                questions.decode(opened)

        try:
            return [ms / ROUNDS for ms in self._timed(rounds, times=3, warm=1)]
        finally:
            for each in opened:
                questions.abandon(each)

    def _snapshots(self) -> tuple[list[float], int]:
        """Return times of snapshot and restore, and the bytes that a snapshot takes."""
        manager = KVCacheManager(self._engine.stream.cache)

        def there_and_back() -> None:
            manager.snapshot(self._engine)
            manager.restore(self._engine)

        times = self._timed(there_and_back, times=15)
        cuda = self._model.device.type == 'cuda'
        before = torch.cuda.memory_allocated() if cuda else 0
        manager.snapshot(self._engine)
        after = torch.cuda.memory_allocated() if cuda else 0
        manager.restore(self._engine)
        return times, after - before
