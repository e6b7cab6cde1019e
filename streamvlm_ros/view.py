# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a question looks at, and what its answer rests on. No torch and no ROS are needed."""

from __future__ import annotations

import dataclasses
from typing import cast, get_args, Literal

from streamvlm_ros import checks
from streamvlm_ros.errors import ErrorCode, StreamError
from streamvlm_ros.stamps import LAST_STAMP

ViewName = Literal['memory', 'now', 'memory_and_now', 'span']
VIEWS: tuple[ViewName, ...] = get_args(ViewName)


@dataclasses.dataclass(frozen=True)
class View:
    """The frames that a question is answered on.

    Attributes:
        name: 'memory' (all that is cached), 'now' (the newest frames, read afresh),
            'memory_and_now' (what is cached, and behind it the newest frames, sharp) or 'span'
            (frames between two stamps, read afresh).
        since_ns: of a span: no frame is older than this stamp; 0: the oldest that is kept.
        until_ns: of a span: no frame is newer than this stamp; 0: the newest that is kept.

    Raises:
        StreamError: INVALID_REQUEST; there is no such view, or no such span.

    """

    name: ViewName = 'memory'
    since_ns: int = 0
    until_ns: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be looked at."""
        name = checks.text('view', self.name)
        if name not in VIEWS:
            _refuse(f'The view is {name!r:.80}; choose one of {", ".join(VIEWS)}.')
        object.__setattr__(self, 'name', name)
        for field in ('since_ns', 'until_ns'):
            stamp_ns = checks.integer(field, getattr(self, field))
            if not 0 <= stamp_ns <= LAST_STAMP:
                _refuse(f'{field} is {stamp_ns}; give a stamp from 0 to {LAST_STAMP} ns.')
            if stamp_ns and name != 'span':
                _refuse(
                    f'{field} is {stamp_ns}, but the view is {name!r}; only a span has a '
                    "beginning and an end: choose the view 'span', or leave it 0."
                )
            object.__setattr__(self, field, stamp_ns)
        if self.until_ns and self.until_ns < self.since_ns:
            _refuse(
                f'The span ends at {self.until_ns} ns, before it begins at {self.since_ns} ns; '
                'give an until that is not before since.'
            )

    @classmethod
    def of(cls, view: View | ViewName) -> View:
        """Return a view that was given by itself or by its name.

        Raises:
            StreamError: INVALID_REQUEST; there is no such view.

        """
        return view if isinstance(view, cls) else cls(cast(ViewName, view))

    @property
    def has_memory(self) -> bool:
        """Whether it looks at what is cached."""
        return self.name in ('memory', 'memory_and_now')

    @property
    def has_fresh_frames(self) -> bool:
        """Whether frames are read for it that are not in the stream's cache, or not so sharp."""
        return self.name != 'memory'


MEMORY = View()


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The frames that an answer rests on; stamps in nanoseconds as they came with the frames.

    Attributes:
        view: what the question looked at, as ``View.name`` has it; empty: there is no answer.
        exact: the answer is that of the offline model on these frames.  Of fresh frames it always
            is; of what is cached until the first eviction of the epoch, because what is kept then
            still carries what it attended to.
        first_stamp_ns, last_stamp_ns: of the oldest and the newest frame.
        frames: how many there are.
        stamps_ns: of every frame that was read for this question alone; empty for ``memory``.
        height, width: in pixels, as the model saw these; for ``memory`` those of the stream.

    """

    view: str
    exact: bool
    first_stamp_ns: int
    last_stamp_ns: int
    frames: int
    stamps_ns: tuple[int, ...]
    height: int
    width: int


def thinned(frames: int, count: int) -> list[int]:
    """Return which of so many frames a view of at most ``count`` has.

    All of them if they are few enough; otherwise pairs of neighbours, evenly over the span, the
    first and the last one among them.  A temporal patch is always made of such a pair.
    """
    if frames <= count:
        return list(range(frames))
    pairs = count // 2
    last = frames - 2
    firsts = [round(pair * last / (pairs - 1)) if pairs > 1 else last for pair in range(pairs)]
    return [index for first in firsts for index in (first, first + 1)]


def _refuse(sentence: str) -> None:
    raise StreamError(ErrorCode.INVALID_REQUEST, sentence)
