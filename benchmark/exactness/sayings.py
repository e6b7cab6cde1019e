# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a model says about one and the same stream, to hold two ways of running it together."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from streamvlm_ros.engine import StreamQwenModel, StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.models.processor import StreamProcessor
from streamvlm_ros.engine.questions.branch import Branch, finish
from streamvlm_ros.engine.questions.scoring import ChoicePrompt, score_pieces

CHUNK, CHUNKS, SIDE, TOKENS = 4, 6, 448, 64
QUESTIONS = ('What happened?', 'Where is the red box now, and what stands beside it?')
CHOICES = ('red', 'dark green', 'of no colour at all')


@dataclasses.dataclass(frozen=True)
class Sayings:
    """What was said.

    Attributes:
        logits: float32 [questions, vocabulary] on the CPU, after each question.
        tokens: greedy answers of TOKENS tokens: to each question alone, then to all at once.
        scores: log-probabilities [questions * choices] of the choices after each question.

    """

    logits: torch.Tensor
    tokens: list[list[int]]
    scores: torch.Tensor

    @classmethod
    def of(cls, model: StreamQwenModel, processor: StreamProcessor, side: int = SIDE) -> Sayings:
        """Stream random frames into a model and ask."""
        engine = VideoStreamingInference(
            model,
            processor,
            settings=StreamSettings(
                sample_rate=0.0,
                chunk_frames=CHUNK,
                max_pixels=side * side,
                min_pixels=side * side,
                capacity=8192,
            ),
        )
        frames = np.random.default_rng(2).integers(0, 256, (CHUNK, side, side, 3), np.uint8)
        for number in range(CHUNK * CHUNKS):
            # They cost time to draw; turned by a line they are others.
            engine.append_frame(
                np.roll(frames[number % CHUNK], number, axis=0), number * 250_000_000
            )
        stream, encode = engine.stream, processor.tokenizer.encode
        choices = [encode(choice) for choice in CHOICES]
        logits, scores = [], []
        for question in QUESTIONS:
            branch = Branch(model, stream.cache, stream.state)
            with torch.inference_mode():
                logits.append(branch.prefill(encode(question)).cpu())
            branch.close()
            branch = Branch(model, stream.cache, stream.state)
            with torch.inference_mode():
                scores += finish(
                    score_pieces(branch, [ChoicePrompt(None, None, encode(question), choices)])
                )
            branch.close()
        return cls(
            torch.stack(logits),
            [
                tokens
                for asked in (QUESTIONS[:1], QUESTIONS[1:], QUESTIONS)
                for tokens in _answers(engine, asked)
            ],
            torch.cat(scores).cpu(),
        )

    def error(self, other: Sayings) -> float:
        """Return how far the logits are from another's, relative to those."""
        return float((self.logits - other.logits).norm() / other.logits.norm())

    def equal(self, other: Sayings) -> int:
        """Return how many tokens are the other's, each answer up to its first that is not."""
        count = 0
        for mine, theirs in zip(self.tokens, other.tokens):
            same = [one == two for one, two in zip(mine, theirs)]
            count += same.index(False) if False in same else len(same)
        return count

    def choice_error(self, other: Sayings) -> float:
        """Return how far the choices' log-probabilities are from another's, relative to those."""
        return float((self.scores - other.scores).norm() / other.scores.norm())


def _answers(engine: VideoStreamingInference, asked: tuple[str, ...]) -> list[list[int]]:
    """Return the greedy tokens of questions that are answered together."""
    opened = [engine.questions.open(question, TOKENS) for question in asked]
    while any(not each.ended for each in opened):
        engine.questions.decode([each for each in opened if not each.ended])
    tokens = [list(each.tokens) for each in opened if each.tokens]
    for each in opened:
        engine.questions.close(each)
    return tokens
