# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A question that is being answered: what it saw, and how far it is."""

from __future__ import annotations

from collections.abc import Generator, Sequence
import time

from streamvlm_ros.engine.outputs import Answer, Choice
from streamvlm_ros.engine.questions.answering import Answering
from streamvlm_ros.engine.questions.branch import Branch
from streamvlm_ros.engine.stream.chunks import EncodedChunk
from streamvlm_ros.engine.stream.stream import FrameStream


class OpenQuestion:
    """A question over the stream as it stood: prefilled piece by piece, then decoded.

    Attributes:
        pieces: its prefill; each step is one pass.  None: it is done.
        answering: the decoding; None before the first token, and for a choice question.
        branch: what it sees, and where its own tokens go.
        update_state: whether question and answer are to be kept in the stream.
        ids: the branch's ids, down to where the answer begins.
        fed: all of it is in the branch, which reads nothing of the stream any more.
        epoch: of the stream, when it was asked.
        chunk: the part of them for frames that wait for their chunk to fill, if there are any.

    """

    def __init__(
        self,
        question: str,
        ids: Sequence[int],
        chunk: EncodedChunk | None,
        began: float,
        stream: FrameStream,
        branch: Branch,
    ) -> None:
        """Remember what the question sees."""
        assert stream.newest is not None
        self.pieces: Generator[None, None, Answering | Choice] | None = None
        self.answering: Answering | None = None
        self.branch = branch
        self.update_state = self.fed = False
        self._question = question
        self.ids, self.chunk = ids, chunk
        self._prompt_tokens = stream.state.length + len(ids)
        self._began = began
        self._oldest_stamp_ns, self._newest = stream.oldest_stamp_ns, stream.newest
        self._frames, self.epoch = stream.frames_held, stream.epoch
        self._ttft = 0.0
        self._choice: Choice | None = None

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to prefill or to decode."""
        return self.pieces is None and (
            self.answering is None or bool(self.answering.finish_reason)
        )

    def prefilled(self, result: Answering | Choice) -> None:
        """Take what the prefill gave, and the time to first token: right after it."""
        self.pieces = None
        if isinstance(result, Choice):
            self._choice = result
        else:
            self.answering = result
        self._ttft = time.perf_counter() - self._began

    def answer(self, finish_reason: str = '') -> Answer:
        """Return the answer as far as it is decoded."""
        decoded, choice = self.answering, self._choice
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
            stamp_ns=self._newest.stamp_ns,
            frame_id=self._newest.frame_id,
            oldest_stamp_ns=self._oldest_stamp_ns,
            frames=self._frames,
            epoch=self.epoch,
        )
