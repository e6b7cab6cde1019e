# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A question that is being answered: what it saw, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
import time

from streamvlm_ros.engine.answering import Answering
from streamvlm_ros.engine.chunks import EncodedChunk
from streamvlm_ros.engine.results import Answer, Choice
from streamvlm_ros.engine.stream import FrameStream


class OpenQuestion:
    """A question over the stream as it stood, answered one decode step at a time.

    Attributes:
        answering: the decoding; None for a choice question, which needs no decoding.
        update_state: whether question and answer are to be kept in the stream.
        ids: the branch's ids, down to where the answer begins.
        chunk: the odd frame's part of them, if there is one.

    """

    def __init__(self, question: str, update_state: bool, ids: Sequence[int],
                 chunk: EncodedChunk | None, began: float, stream: FrameStream) -> None:
        """Remember what the question saw."""
        assert stream.newest is not None
        self.answering: Answering | None = None
        self.update_state = update_state
        self._question = question
        self.ids, self.chunk = ids, chunk
        self._prompt_tokens = stream.state.length + len(ids)
        self._began = began
        self._oldest_stamp_ns, self._newest = stream.oldest_stamp_ns, stream.newest
        self._frames, self._epoch = stream.frames_held, stream.epoch
        self._ttft = 0.0

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to decode."""
        return self.answering is None or bool(self.answering.finish_reason)

    def first_token(self) -> None:
        """Take the time to first token: right after the question's prefill."""
        self._ttft = time.perf_counter() - self._began

    def answer(self, choice: Choice | None = None, finish_reason: str = '') -> Answer:
        """Return the answer as far as it is decoded."""
        decoded = self.answering
        return Answer(
            question=self._question,
            text=choice.text if choice else decoded.text if decoded else '',
            choice_index=choice.index if choice else -1,
            choice_probabilities=choice.probabilities if choice else (),
            finish_reason=finish_reason or (decoded.finish_reason if decoded else 'stop'),
            prompt_tokens=self._prompt_tokens,
            completion_tokens=len(decoded.tokens) if decoded else 0,
            time_to_first_token=self._ttft,
            total_time=time.perf_counter() - self._began,
            stamp_ns=self._newest.stamp_ns, frame_id=self._newest.frame_id,
            oldest_stamp_ns=self._oldest_stamp_ns, frames=self._frames, epoch=self._epoch)
