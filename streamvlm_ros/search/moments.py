# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Moments, and what an index of them does, whatever engine it is built on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
import dataclasses
from types import TracebackType
from typing import Protocol

import numpy as np

from streamvlm_ros.errors import ErrorCode, StreamError
from streamvlm_ros.stamps import LAST_STAMP

MAX_STREAM = 255  # characters of a stream's name
MAX_COUNT = 10_000  # moments that one search returns


@dataclasses.dataclass(frozen=True)
class Moment:
    """A short piece of a stream.

    Attributes:
        number: which one it is; one of a kind in its stream.
        stamp_ns: of its first frame.
        stream: the stream's name; where robots share an index, the robot's name is part of it.

    """

    number: int
    stamp_ns: int
    stream: str


@dataclasses.dataclass(frozen=True)
class Found:
    """A moment that a search has found.

    Attributes:
        moment: the moment.
        score: the scalar product of its vector and the one that was searched for, or what the
            search for words ranks by; a larger one is nearer. It is no probability.

    """

    moment: Moment
    score: float


class MomentIndex(Protocol):
    """One vector for each moment; any thread may call any method.

    It is a cache: all that it holds can be made anew from the frames. What was added is there
    after the process was killed.

    Attributes:
        dimensions: numbers of a vector.

    """

    dimensions: int

    def add(self, moments: Sequence[Moment], vectors: np.ndarray) -> int:
        """Add moments, all or none of them; those that are there already stay as they are.

        Args:
            moments: in any order, of any streams.
            vectors: float [len(moments), dimensions].

        Returns:
            How many were new.

        Raises:
            StreamError: INVALID_REQUEST for moments or vectors that cannot be added; FILE_ERROR.

        """

    def search(
        self,
        vector: np.ndarray,
        count: int,
        since_ns: int = 0,
        until_ns: int = 0,
        streams: Collection[str] = (),
    ) -> list[Found]:
        """Return the moments whose vectors have the largest scalar product with one.

        Args:
            vector: float [dimensions].
            count: how many, at most.
            since_ns: no moment with an older stamp.
            until_ns: no moment with a newer stamp; 0: up to the newest.
            streams: of these only; empty: of all.

        Raises:
            StreamError: INVALID_REQUEST, FILE_ERROR.

        """

    def known(self, stream: str, since_ns: int = 0, until_ns: int = 0) -> set[int]:
        """Return the numbers of a stream's moments that it holds; a span as for ``search``."""

    def remove(self, since_ns: int = 0, until_ns: int = 0, streams: Collection[str] = ()) -> int:
        """Forget moments for good and return how many; a span as for ``search``."""

    def count(self) -> int:
        """Return how many moments it holds."""

    def close(self) -> None:
        """Let go of what it is built on.  May be called again."""

    def __enter__(self) -> MomentIndex: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def check_moments(moments: Sequence[Moment], vectors: np.ndarray, dimensions: int) -> np.ndarray:
    """Return vectors as float32 [len(moments), dimensions].

    Raises:
        StreamError: INVALID_REQUEST.

    """
    vectors = np.asarray(vectors)
    if vectors.shape != (len(moments), dimensions):
        refuse(
            f'{len(moments)} moments came with vectors of shape {list(vectors.shape)}; this index '
            f'takes [{len(moments)}, {dimensions}].'
        )
    vectors = vectors.astype(np.float32)
    if not np.isfinite(vectors).all():
        refuse('A vector has a number that is not finite; look at what has made it.')
    for moment in moments:
        check_moment(moment)
    return vectors


def check_moment(moment: Moment) -> None:
    """Raise StreamError INVALID_REQUEST for a moment that cannot be."""
    check_stream(moment.stream)
    if not 0 <= moment.stamp_ns <= LAST_STAMP:
        refuse(f'The stamp of a moment is {moment.stamp_ns} ns; give one from 0 to {LAST_STAMP}.')
    if not 0 <= moment.number < 1 << 63:
        refuse(f'The number of a moment is {moment.number}; give one from 0 to 2^63 - 1.')


def check_count(count: int) -> None:
    """Raise StreamError INVALID_REQUEST for a number of moments that is not given."""
    if not 1 <= count <= MAX_COUNT:
        refuse(f'{count} moments were asked for; ask for 1 to {MAX_COUNT}.')


def check_search(vector: np.ndarray, count: int, dimensions: int) -> np.ndarray:
    """Return what is searched for as float32 [dimensions].

    Raises:
        StreamError: INVALID_REQUEST.

    """
    vector = np.asarray(vector)
    if vector.shape != (dimensions,):
        refuse(
            f'The vector to search for has the shape {list(vector.shape)}; this index takes '
            f'[{dimensions}].'
        )
    if not np.isfinite(vector).all():
        refuse('The vector to search for has a number that is not finite.')
    check_count(count)
    return vector.astype(np.float32)


def check_span(since_ns: int, until_ns: int) -> tuple[int, int]:
    """Return the first and the last stamp of a span; StreamError INVALID_REQUEST."""
    last = until_ns or LAST_STAMP
    if not 0 <= since_ns <= last <= LAST_STAMP:
        refuse(
            f'The span is from {since_ns} to {until_ns} ns; give stamps from 0 to {LAST_STAMP}, '
            'the first not after the last; 0 as the last is the newest.'
        )
    return since_ns, last


def check_stream(stream: str) -> str:
    """Return the name of a stream; StreamError INVALID_REQUEST."""
    if not isinstance(stream, str) or not 1 <= len(stream) <= MAX_STREAM or '"' in stream:
        refuse(
            f'The stream is {stream!r:.80}; give a name of 1 to {MAX_STREAM} characters '
            'without a quotation mark.'
        )
    return stream


def refuse(sentence: str) -> None:
    """Raise StreamError INVALID_REQUEST."""
    raise StreamError(ErrorCode.INVALID_REQUEST, sentence)
