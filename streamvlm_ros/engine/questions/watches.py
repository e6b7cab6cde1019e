# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Standing questions: scored after every chunk, with an event when an answer changes."""

from __future__ import annotations

from collections.abc import Sequence
import copy
import dataclasses
import time
from typing import Any

from streamvlm_ros import checks
from streamvlm_ros.engine.errors import ErrorCode, StreamError
from streamvlm_ros.engine.models.prompt import Prompt, tree_tokens
from streamvlm_ros.engine.questions.questions import Questions
from streamvlm_ros.engine.stream.stream import FrameStream

# Every watch is scored after every chunk; this and their tokens bound what they may cost.
MAX_WATCHES = 64
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
        tokens: how many are prefilled for it after every chunk.

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


class Watches:
    """The standing questions of one stream, in the order in which they were added.

    Attributes:
        tokens: of all watches together, which are computed after every chunk; 0: no watch.
        seconds: how long it took to score all of them after the newest chunk.

    """

    def __init__(
        self, prompt: Prompt, stream: FrameStream, questions: Questions, most_tokens: int
    ) -> None:
        """Begin with none; all together may have at most ``most_tokens`` tokens."""
        self._prompt, self._stream, self._questions = prompt, stream, questions
        self._most_tokens = most_tokens
        self._all: dict[str, Hysteresis] = {}
        self._asked: dict[str, tuple[list[int], list[list[int]]]] = {}
        self.tokens = 0
        self.seconds = 0.0
        self._scored = -1  # number of the newest frame that was there at the last scores

    def all(self) -> tuple[Watch, ...]:
        """Return every watch as it stands."""
        return tuple(each.watch for each in self._all.values())

    def add(
        self,
        question: str,
        choices: Sequence[str],
        threshold: float = 0.7,
        hold: int = 2,
        name: str = '',
    ) -> Watch:
        """Add a watch; it is first scored after the next chunk.

        Args:
            question: what to ask.
            choices: 2 to 26 different texts.
            threshold: probability that a new answer needs, above 0 and at most 1.
            hold: scored chunks in a row for which it needs it.
            name: what its events are called; empty: the first free of ``watch_1``, ``watch_2``.

        Returns:
            The watch, with its name.

        Raises:
            StreamError: INVALID_REQUEST for a question, a choice or a bound that cannot be, a
                name that is taken, or too many watches or tokens.  Nothing was added.

        """
        asked = self._prompt.choice_question(question, choices)
        watch = Watch(
            name, question, tuple(map(str, choices)), threshold, hold, tokens=tree_tokens(*asked)
        )
        if self.tokens + watch.tokens > self._most_tokens:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'The watch has {watch.tokens:,} tokens and the others {self.tokens:,}; all '
                f'together may have at most {self._most_tokens:,}, because they are computed '
                'after every chunk. Shorten the question, or remove another watch.',
            )
        if len(self._all) >= MAX_WATCHES:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'There are {MAX_WATCHES} watches already; remove one first.',
            )
        if watch.name in self._all:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'There is a watch named {watch.name!r} '
                'already; remove it first, or give another name.',
            )
        name = watch.name or next(
            free
            for free in (f'watch_{i + 1}' for i in range(len(self._all) + 1))
            if free not in self._all
        )
        watch = dataclasses.replace(watch, name=name)
        if not self._all:
            self._see()
        self._all[name], self._asked[name] = Hysteresis(watch), asked
        self.tokens += watch.tokens
        return watch

    def remove(self, name: str) -> None:
        """Remove a watch.

        Raises:
            StreamError: INVALID_REQUEST when there is none of that name.

        """
        if name not in self._all:
            there = ', '.join(self._all) or 'none'
            raise StreamError(
                ErrorCode.INVALID_REQUEST, f'There is no watch named {name!r}; there are: {there}.'
            )
        self.tokens -= self._all[name].watch.tokens
        del self._all[name], self._asked[name]

    def score(self) -> list[WatchEvent]:
        """Score all watches if frames were prefilled since the last time.

        Frames that wait for their chunk to fill are not seen.  The stream stays as it was.

        Returns:
            The watches whose answer has changed.

        Raises:
            StreamError: OUT_OF_MEMORY; the chunk then counts for no watch.

        """
        seen = self._stream.seen
        if seen is None or seen.number <= self._scored or not self._asked:
            return []
        self._scored = seen.number
        began = time.perf_counter()
        scores = self._questions.score(list(self._asked.values()))
        self.seconds = time.perf_counter() - began
        events = []
        for each, probabilities in zip(self._all.values(), scores, strict=True):
            previous = each.watch.choice
            if each.take(probabilities, seen.stamp_ns):
                events.append(
                    WatchEvent.of(each.watch, previous, seen.frame_id, self._stream.epoch)
                )
        return events

    def restart(self) -> None:
        """Keep the watches and forget their answers: another stream begins, or goes on.

        Frames that are in the cache already were scored by the stream that took them.
        """
        for each in self._all.values():
            each.restart()
        self._see()

    def state(self) -> tuple[object, ...]:
        """Return the watches and what is known of their answers, for ``go_back``."""
        each = {name: copy.copy(watch) for name, watch in self._all.items()}
        return each, dict(self._asked), self.tokens, self.seconds, self._scored

    def go_back(self, state: tuple[Any, ...]) -> None:
        """Go back to what ``state`` has returned."""
        each, asked, self.tokens, self.seconds, self._scored = state
        self._all = {name: copy.copy(watch) for name, watch in each.items()}
        self._asked = dict(asked)

    def _see(self) -> None:
        """Score nothing until frames are prefilled that are not in the cache yet."""
        seen = self._stream.seen
        self._scored = seen.number if seen else -1
