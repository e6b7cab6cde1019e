# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The stream that a benchmark's videos go into, with what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import resource
import time
from typing import Any

import numpy as np
import torch

from streamvlm_ros.engine import StreamError, VideoStreamingInference
from streamvlm_ros.engine.config import MAX_BATCH
from streamvlm_ros.engine.errors import as_stream_error
from streamvlm_ros.engine.models.devices import gpus_of
from streamvlm_ros.engine.outputs import Answer
from streamvlm_ros.errors import ErrorCode
from streamvlm_ros.evaluate.question import Question
from streamvlm_ros.stamps import NANOSECONDS
from streamvlm_ros.view import View, ViewName

Outcome = list[Answer] | StreamError  # the answers to the prompts of a question, or why not


class Stream:
    """Takes frames, and answers questions on branches that leave it as it was."""

    def __init__(
        self,
        engine: VideoStreamingInference,
        max_new_tokens: int,
        view: ViewName = 'memory',
        span_s: float = 0.0,
    ) -> None:
        """Take a loaded model.

        Args:
            engine: its stream.
            max_new_tokens: longest answer.
            view: what each question looks at.
            span_s: of a span: the newest seconds of what the stream was shown; 0: all of it.

        """
        self._engine = engine
        self._max_new_tokens = max_new_tokens
        self._view: ViewName = view
        self._span_ns = round(span_s * NANOSECONDS)
        # Each open view has a place of its own, of which there are so many.
        fresh = View(view).has_fresh_frames
        self._together = min(MAX_BATCH, max(1, engine.settings.open_views)) if fresh else MAX_BATCH
        self._frames, self._append_s = 0, 0.0

    def reset(self) -> None:
        """Forget the frames."""
        self._engine.reset()

    def append(self, frames: Iterable[tuple[int, np.ndarray]]) -> None:
        """Append frames with their times in nanoseconds; only their way into the model is timed.

        Raises:
            StreamError: OUT_OF_MEMORY, or INVALID_REQUEST for a frame that is too large.

        """
        for time_ns, frame in frames:
            began = self._clock()
            try:
                self._engine.append_frame(frame, time_ns)
            except torch.OutOfMemoryError as error:
                raise as_stream_error(error) from error
            self._append_s += self._clock() - began
            self._frames += 1

    def ask(self, questions: Sequence[Question]) -> list[Outcome]:
        """Ask about the frames so far, all questions together, and after a yes once more.

        Returns:
            For each question the answers to its prompts in their order, or why there is none.

        Raises:
            StreamError: OUT_OF_MEMORY.

        """
        outcomes = self._batches([each.prompt for each in questions])
        again = [
            number
            for number, (question, outcome) in enumerate(zip(questions, outcomes))
            if question.then_ask and says_yes(outcome)
        ]
        for number, more in zip(again, self._batches([questions[i].then_ask for i in again])):
            said = outcomes[number]
            if isinstance(more, StreamError):
                outcomes[number] = more
            elif not isinstance(said, StreamError):
                outcomes[number] = [*said, *more]
        return outcomes

    def begin_figures(self) -> None:
        """Count frames and time from 0 on."""
        self._frames, self._append_s = 0, 0.0

    def figures(self) -> dict[str, Any]:
        """Return what was counted, and the most memory that was taken so far, in bytes."""
        return {
            'frames': self._frames,
            'append_s': round(self._append_s, 6),
            'memory_bytes': self._peak(),
        }

    def _batches(self, prompts: Sequence[str]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for first in range(0, len(prompts), self._together):
            outcomes += self._batch(prompts[first : first + self._together])
        return outcomes

    def _batch(self, prompts: Sequence[str]) -> list[Outcome]:
        questions, view = self._engine.questions, self._view_now()
        opened: dict[int, Any] = {}
        outcomes: list[Outcome] = [[] for _ in prompts]
        try:
            for number, prompt in enumerate(prompts):
                try:
                    opened[number] = questions.open(prompt, self._max_new_tokens, view=view)
                except StreamError as error:
                    if error.code == ErrorCode.OUT_OF_MEMORY:
                        raise
                    outcomes[number] = error
            while not all(sequence.ended for sequence in opened.values()):
                questions.decode(list(opened.values()))
            for number, sequence in opened.items():
                outcomes[number] = [questions.close(sequence)]
        except torch.OutOfMemoryError as error:
            raise as_stream_error(error) from error
        finally:
            for sequence in opened.values():
                questions.abandon(sequence)
        return outcomes

    def _view_now(self) -> View:
        if self._view != 'span':
            return View(self._view)
        newest_ns = self._engine.newest_stamp_ns or 0
        return View('span', max(0, newest_ns - self._span_ns) if self._span_ns else 0)

    def _clock(self) -> float:
        for gpu in gpus_of(self._engine.model):
            torch.cuda.synchronize(gpu)
        return time.perf_counter()

    def _peak(self) -> int:
        """Return the most that was taken of the GPUs' memory; without a GPU by the process."""
        gpus = gpus_of(self._engine.model)
        if gpus:
            return sum(map(torch.cuda.max_memory_allocated, gpus))
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def says_yes(outcome: Outcome) -> bool:
    """Return whether the first answer has a yes in it (StreamingBenchProactive.py)."""
    return not isinstance(outcome, StreamError) and 'yes' in outcome[0].text.lower()
