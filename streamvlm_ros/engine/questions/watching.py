# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The standing questions of a stream, scored after every chunk."""

from __future__ import annotations

from collections.abc import Sequence
import time

from streamvlm_ros.engine.models.prompt import Prompt, tree_tokens
from streamvlm_ros.engine.questions.questions import Questions
from streamvlm_ros.engine.questions.watch import Watch, WatchEvent, WatchList
from streamvlm_ros.engine.stream.stream import FrameStream


class Watching:
    """What ``VideoStreamingInference`` offers about standing questions.

    Attributes:
        watch_seconds: what all watches together took after the newest chunk.

    """

    def __init__(
        self, prompt: Prompt, stream: FrameStream, questions: Questions, max_watch_tokens: int
    ) -> None:
        """Begin with no watches."""
        self._prompt, self._stream, self.questions = prompt, stream, questions
        self._watches = WatchList(max_watch_tokens)
        self._asked: dict[str, tuple[list[int], list[list[int]]]] = {}
        self.watch_seconds = 0.0
        self._scored = -1  # number of the newest frame that was there at the last scores

    def watch(
        self,
        question: str,
        choices: Sequence[str],
        *,
        threshold: float = 0.7,
        hold: int = 2,
        name: str = '',
    ) -> Watch:
        """Add a standing question, which ``score_watches`` scores after every chunk.

        Args:
            question: what to ask.
            choices: 2 to 26 different texts.
            threshold: probability that a new answer needs, above 0 and at most 1.
            hold: scored chunks in a row for which it needs it.
            name: what its events are called; empty: one is found.

        Returns:
            The watch, with its name.

        Raises:
            StreamError: INVALID_REQUEST; nothing was added.

        """
        asked = self._prompt.choice_question(question, choices)
        watch = self._watches.add(
            Watch(name, question, tuple(choices), threshold, hold, tokens=tree_tokens(*asked))
        )
        self._asked[watch.name] = asked
        return watch

    def unwatch(self, name: str) -> None:
        """Remove a standing question.

        Raises:
            StreamError: INVALID_REQUEST when there is none of that name.

        """
        self._watches.remove(name)
        del self._asked[name]

    @property
    def watch_tokens(self) -> int:
        """Tokens of all watches together, which every chunk pays for."""
        return self._watches.tokens

    def watches(self) -> tuple[Watch, ...]:
        """Return the standing questions as they stand, in the order they were added."""
        return self._watches.all()

    def score_watches(self) -> list[WatchEvent]:
        """Score all watches if frames were prefilled since the last time.

        Frames that wait for their chunk to fill are not seen.  The stream stays as it was.

        Returns:
            The watches whose answer has changed.

        Raises:
            StreamError: OUT_OF_MEMORY; the chunk then counts for no watch.

        """
        seen = self._stream.seen
        if seen is None or seen.number <= self._scored:
            return []
        self._scored = seen.number
        if not self._asked:
            return []
        began = time.perf_counter()
        scores = self.questions.score(list(self._asked.values()))
        self.watch_seconds = time.perf_counter() - began
        return self._watches.take(scores, seen.stamp_ns, seen.frame_id, self._stream.epoch)

    def restart_watches(self) -> None:
        """Keep the watches and forget their answers: another stream begins, or goes on.

        Frames that are in the memory already were scored by the stream that took them.
        """
        self._watches.restart()
        seen = self._stream.seen
        self._scored = seen.number if seen else -1
