# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the engine hands back: answers, choices, and the state of the cache."""

from __future__ import annotations

from collections.abc import Iterator
import dataclasses
from typing import Any, TypedDict

import numpy as np

from streamvlm_ros.view import Evidence


class Metrics(TypedDict):
    """How an answer came about; times in seconds from the call."""

    ttft: float
    total: float
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str


@dataclasses.dataclass(frozen=True)
class Choice:
    """The most probable choice.

    Attributes:
        text: the choice as the caller wrote it.
        index: its place in the caller's list.
        probabilities: of every choice, in the caller's order; they sum to 1.
        evidence: the frames that it rests on.
        images: as ``Answer`` has them.

    """

    text: str
    index: int
    probabilities: tuple[float, ...]
    evidence: Evidence
    images: tuple[np.ndarray, ...] = dataclasses.field(default=(), compare=False, repr=False)

    @classmethod
    def of(cls, answer: Answer) -> Choice:
        """Return what an answer to a choice question has chosen."""
        return cls(
            answer.text,
            answer.choice_index,
            answer.choice_probabilities,
            answer.evidence,
            answer.images,
        )


@dataclasses.dataclass(frozen=True)
class CacheInfo:
    """The stream's memory; stamps in nanoseconds as they came with the frames.

    ``skipped_patches`` are temporal patches left out by ``skip_static``, ``late_frames`` frames
    left out because their stamps were a little older than the newest; all epochs together.
    """

    tokens: int
    capacity: int
    memory_bytes: int
    evicted_tokens: int
    last_cache_position: int
    frames: int
    pending_frames: int
    skipped_patches: int
    late_frames: int
    epoch: int
    stamp_ns: int
    oldest_stamp_ns: int
    frame_id: str


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer and what it was given on; times in seconds, stamps in nanoseconds.

    ``images`` are RGB uint8 [h, w, 3]: the fresh frames as the model saw them, in the order of
    ``evidence.stamps_ns``; empty unless the question had ``return_frames``.

    It unpacks as ``text, metrics = answer``.
    """

    question: str
    text: str
    choice_index: int
    choice_probabilities: tuple[float, ...]
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    time_to_first_token: float
    total_time: float
    stamp_ns: int
    frame_id: str
    oldest_stamp_ns: int
    frames: int
    epoch: int
    evidence: Evidence
    images: tuple[np.ndarray, ...] = dataclasses.field(default=(), compare=False, repr=False)

    @property
    def metrics(self) -> Metrics:
        """How the answer came about."""
        return Metrics(
            ttft=self.time_to_first_token,
            total=self.total_time,
            prompt_tokens=self.prompt_tokens,
            finish_reason=self.finish_reason,
            completion_tokens=self.completion_tokens,
        )

    def __iter__(self) -> Iterator[Any]:
        """Yield the text and the metrics."""
        yield self.text
        yield self.metrics

    def __getitem__(self, index: int) -> Any:
        """Return the text (0) or the metrics (1)."""
        return (self.text, self.metrics)[index]
