# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Standing questions: scored after every chunk, with an event when an answer changes."""

from __future__ import annotations

from collections.abc import Sequence
import copy
import dataclasses
import logging
import time
from typing import Any

import torch

from streamvlm_ros.engine.errors import as_stream_error, ErrorCode, StreamError
from streamvlm_ros.engine.models.prompt import Prompt, tree_tokens
from streamvlm_ros.engine.questions.questions import Questions
from streamvlm_ros.engine.questions.watch import Hysteresis, Watch, WatchEvent
from streamvlm_ros.engine.stream.stream import FrameStream
from streamvlm_ros.view import MEMORY, View, ViewName

LOG = logging.getLogger(__name__)
# Every watch is scored after every chunk; this and their tokens bound what they may cost.
MAX_WATCHES = 64
# Different views with fresh frames that they have; each is read after every chunk.
MAX_WATCH_VIEWS = 4


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
        view: View | ViewName = 'memory',
    ) -> Watch:
        """Add a watch; it is first scored after the next chunk.

        Args:
            question: what to ask.
            choices: 2 to 26 different texts.
            threshold: probability that a new answer needs, above 0 and at most 1.
            hold: scored chunks in a row for which it needs it.
            name: what its events are called; empty: the first free of ``watch_1``, ``watch_2``.
            view: what it looks at.  Fresh frames are read after every chunk, which is told in the
                log and by ``Watch.frame_tokens``; one place for views is then theirs.

        Returns:
            The watch, with its name.

        Raises:
            StreamError: INVALID_REQUEST for a question, a choice or a bound that cannot be, a
                name that is taken, or too many watches or tokens.  Nothing was added.

        """
        asked, view = self._prompt.choice_question(question, choices), View.of(view)
        watch = Watch(
            name,
            question,
            tuple(map(str, choices)),
            threshold,
            hold,
            tokens=tree_tokens(*asked),
            view=view,
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
        views = {each.watch.view for each in self._all.values()} - {MEMORY}
        if view.has_fresh_frames and view not in views and len(views) >= MAX_WATCH_VIEWS:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                f'Watches look at {len(views)} different views already, and the frames of each '
                'are read after every chunk; use one of these, or remove a watch.',
            )
        # The last check, as it takes the watches' place.
        frame_tokens = self._questions.views.check_watch(view)
        watch = dataclasses.replace(watch, name=name, frame_tokens=frame_tokens)
        if not self._all:
            self._see()
        self._all[name], self._asked[name] = Hysteresis(watch), asked
        self.tokens += watch.tokens
        if watch.frame_tokens:
            LOG.info(
                'The watch %r looks at %s: after every chunk about %s tokens of frames are read '
                'for it, which watches on the same view share.',
                watch.name,
                view.name,
                f'{watch.frame_tokens:,}',
            )
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
            StreamError: OUT_OF_MEMORY, or a view has no frames; the chunk counts for no watch of
                that view.  If others have events, it is logged instead.

        """
        seen = self._stream.seen
        if seen is None or seen.number <= self._scored or not self._asked:
            return []
        self._scored = seen.number
        began = time.perf_counter()
        views: dict[View, list[str]] = {}
        for name, each in self._all.items():
            views.setdefault(each.watch.view, []).append(name)
        scores: dict[str, tuple[float, ...]] = {}
        faults: list[StreamError] = []
        for view, names in views.items():
            asked = [self._asked[name] for name in names]
            try:
                scores.update(zip(names, self._questions.score(asked, view), strict=True))
            except (StreamError, torch.OutOfMemoryError) as error:  # of this view only
                faults.append(as_stream_error(error))
        self.seconds = time.perf_counter() - began
        events = []
        for name, probabilities in scores.items():
            each = self._all[name]
            previous = each.watch.choice
            if each.take(probabilities, seen.stamp_ns):
                events.append(
                    WatchEvent.of(each.watch, previous, seen.frame_id, self._stream.epoch)
                )
        if faults and not events:
            raise faults[0]
        for fault in faults:
            LOG.warning('Some watches were not scored after this chunk: %s', fault)
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
