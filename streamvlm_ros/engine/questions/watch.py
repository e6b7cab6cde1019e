# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One standing question: how it stands, and when its answer changes."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses

from streamvlm_ros import checks
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.view import MEMORY, View

MAX_NAME = 255  # characters


@dataclasses.dataclass(frozen=True)
class Watch:
    """A standing question as it stands.

    Attributes:
        name: what its events are called.
        question: what is asked after every chunk.
        choices: the answers to choose from.
        threshold: probability that a new answer needs, above 0 and at most 1.
        hold: scored chunks in a row for which it needs it.
        choice_index: the answer that holds; -1: none yet in this epoch.
        since_ns: stamp of the newest frame that the first score of this answer saw; 0: none.
        probabilities: the newest score of every choice; empty: not scored yet in this epoch.
        stamp_ns: stamp of the newest frame that it saw; 0: not scored yet.
        tokens: how many are prefilled for it after every chunk, without frames.
        view: what it looks at.
        frame_tokens: how many of frames are read for its view after every chunk, by the size of
            the newest frame, or at most; watches on one view share them.

    """

    name: str
    question: str
    choices: tuple[str, ...]
    threshold: float = 0.7
    hold: int = 2
    choice_index: int = -1
    since_ns: int = 0
    probabilities: tuple[float, ...] = ()
    stamp_ns: int = 0
    tokens: int = 0
    view: View = MEMORY
    frame_tokens: int = 0

    def __post_init__(self) -> None:
        """Refuse a long name, and a threshold or a hold that no answer could meet."""
        for what, check in (
            ('name', checks.text),
            ('threshold', checks.number),
            ('hold', checks.integer),
        ):
            object.__setattr__(self, what, check(what, getattr(self, what)))
        if len(self.name) > MAX_NAME:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The name of the watch has '
                f'{len(self.name):,} characters; give at most {MAX_NAME}.',
            )
        if not 0 < self.threshold <= 1:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The threshold is {self.threshold}; give a probability above 0 and at most 1.',
            )
        if self.hold < 1:
            raise StreamError(
                ErrorCode.INVALID_REQUEST, f'hold is {self.hold} chunks; give 1 or more.'
            )

    @property
    def choice(self) -> str:
        """Text of the answer that holds; empty: none yet."""
        return self.choices[self.choice_index] if self.choice_index >= 0 else ''


@dataclasses.dataclass(frozen=True)
class WatchEvent:
    """The answer of a watch has changed.

    Attributes:
        name, question, choices: of the watch.
        choice, choice_index: the new answer.
        previous: the answer before; empty: this is the first one in this epoch.
        probabilities: of every choice, as scored when the change was found.
        stamp_ns, frame_id: of the newest frame seen then.
        epoch: number of the stream.
        since_ns: stamp of the newest frame that the first score of the new answer saw.

    """

    name: str
    question: str
    choices: tuple[str, ...]
    choice: str
    choice_index: int
    previous: str
    probabilities: tuple[float, ...]
    stamp_ns: int
    frame_id: str
    epoch: int
    since_ns: int

    @classmethod
    def of(cls, watch: Watch, previous: str, frame_id: str, epoch: int) -> WatchEvent:
        """Return the event of a watch whose newest score changed its answer."""
        return cls(
            watch.name,
            watch.question,
            watch.choices,
            watch.choice,
            watch.choice_index,
            previous,
            watch.probabilities,
            watch.stamp_ns,
            frame_id,
            epoch,
            watch.since_ns,
        )


class Hysteresis:
    """Turns the scores of one watch into an answer that does not flicker.

    The answer changes when another choice has a probability of at least the threshold on
    ``hold`` scores in a row; one score below it, or one for the answer that holds, starts the
    count again.  If a threshold of a half or less lets several choices pass, the most probable
    one counts.

    Attributes:
        watch: the watch as it stands.

    """

    def __init__(self, watch: Watch) -> None:
        """Begin with no answer."""
        self.watch = watch
        self.restart()

    def restart(self) -> None:
        """Forget the answer and the scores."""
        self.watch = dataclasses.replace(
            self.watch, choice_index=-1, since_ns=0, probabilities=(), stamp_ns=0
        )
        self._candidate, self._count, self._began_ns = -1, 0, 0

    def take(self, probabilities: Sequence[float], stamp_ns: int) -> bool:
        """Take the next score; return whether the answer has changed."""
        watch = self.watch = dataclasses.replace(
            self.watch, probabilities=tuple(probabilities), stamp_ns=stamp_ns
        )
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        if best == watch.choice_index or probabilities[best] < watch.threshold:
            self._candidate, self._count = -1, 0
            return False
        if best != self._candidate:
            self._candidate, self._count, self._began_ns = best, 0, stamp_ns
        self._count += 1
        if self._count < watch.hold:
            return False
        self._candidate, self._count = -1, 0
        self.watch = dataclasses.replace(watch, choice_index=best, since_ns=self._began_ns)
        return True
