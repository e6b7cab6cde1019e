# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How far a run is and how long the rest will take, in one line of a terminal."""

from __future__ import annotations

import sys
import time


class Progress:
    """Tells on a terminal how far a run is; says nothing in a log."""

    def __init__(self, videos: int, questions: int, seconds: float) -> None:
        """Begin a run.

        Args:
            videos: how many are to be gone through.
            questions: how many are to be asked.
            seconds: how much video that is, the estimate's measure of work.

        """
        self._videos, self._questions, self._seconds = videos, questions, seconds
        self._video = self._question = 0
        self._done_s = 0.0
        self._terminal = sys.stderr.isatty()
        self._began = time.monotonic()

    def add_question(self) -> None:
        """Count a question that was asked."""
        self._question += 1
        self._write()

    def add_video(self, seconds: float) -> None:
        """Count a video of which so many seconds were wanted."""
        self._video += 1
        self._done_s += seconds
        self._write()

    def end(self) -> None:
        """Leave the line as it is."""
        if self._terminal:
            print(file=sys.stderr)

    def text(self) -> str:
        """Return the line."""
        left = self.seconds_left()
        rest = '' if left is None else f', about {duration(left)} left'
        return (
            f'video {self._video} of {self._videos}, question {self._question} of '
            f'{self._questions}{rest}'
        )

    def seconds_left(self) -> float | None:
        """Return how long the rest will take, as the videos before did; None: unknown yet."""
        if not self._done_s:
            return None
        took = time.monotonic() - self._began
        return took * max(0.0, self._seconds - self._done_s) / self._done_s

    def _write(self) -> None:
        if self._terminal:
            print(f'\r{self.text()}', end='\x1b[K', file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Return a duration as people say it."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f'{minutes // 60} h {minutes % 60} min'
    return f'{minutes} min' if minutes else f'{seconds:.0f} s'
