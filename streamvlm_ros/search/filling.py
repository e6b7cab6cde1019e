# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The index is filled from the frames: what it lacks, the newest moments first."""

from __future__ import annotations

from collections.abc import Sequence
import logging
import threading
from types import TracebackType
from typing import Protocol

import numpy as np

from streamvlm_ros.search.embedders import Embedder
from streamvlm_ros.search.moments import check_stream, Moment, MomentIndex
from streamvlm_ros.stamps import NANOSECONDS

LOG = logging.getLogger(__name__)
MOMENT_NS = NANOSECONDS
MOMENT_FRAMES = 2  # of a moment, which its vector is made of
BATCH = 32  # moments of one transaction


class Frames(Protocol):
    """Where frames are kept: a store, or those of a stream in memory."""

    @property
    def oldest_stamp_ns(self) -> int | None:
        """Stamp of the oldest frame; None: there is none."""

    def frames(self, since_ns: int, until_ns: int, count: int) -> Sequence[tuple[int, np.ndarray]]:
        """Return stamp and picture of at most ``count`` frames of a span, in their order."""


class IndexFiller:
    """Makes the vectors of moments that the index has not, in a thread of its own.

    A moment is a second of the stream; its number is that of the second. So the same moments are
    made again after the index was emptied because the model changed.

    Attributes:
        added: moments added.
        error: what ended the thread before its time; None: nothing has.

    """

    def __init__(
        self, index: MomentIndex, embedder: Embedder, frames: Frames, stream: str
    ) -> None:
        """Fill ``index`` with the moments of a stream."""
        self._index, self._embedder, self._frames = index, embedder, frames
        self._stream = check_stream(stream)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.added = 0
        self.error: BaseException | None = None

    def fill(self, since_ns: int, until_ns: int) -> int:
        """Add what is missing of a span, the newest first; return how many moments that were.

        Raises:
            StreamError: FILE_ERROR; the index cannot be written.

        """
        oldest = self._frames.oldest_stamp_ns
        if oldest is None:
            return 0
        first, last = max(since_ns, oldest) // MOMENT_NS, until_ns // MOMENT_NS
        known = self._index.known(
            self._stream, first * MOMENT_NS, last * MOMENT_NS + MOMENT_NS - 1
        )
        added, moments, vectors = 0, [], []
        for number in range(last, first - 1, -1):
            if self._stopped.is_set():
                break
            if number in known:
                continue
            found = self._frames.frames(
                number * MOMENT_NS, number * MOMENT_NS + MOMENT_NS - 1, MOMENT_FRAMES
            )
            if found:
                moments.append(Moment(number, found[0][0], self._stream))
                vectors.append(self._embedder.pictures([image for _, image in found]))
            if len(moments) == BATCH:
                added += self._index.add(moments, np.stack(vectors))
                moments, vectors = [], []
        if moments:
            added += self._index.add(moments, np.stack(vectors))
        self.added += added
        return added

    def start(self, since_ns: int, until_ns: int) -> None:
        """Begin ``fill`` in a thread; ``wait`` or ``close`` ends it."""
        self._thread = threading.Thread(
            target=self._run, args=(since_ns, until_ns), name='index filler', daemon=True
        )
        self._thread.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until all is filled; return whether it is."""
        if self._thread is not None:
            self._thread.join(timeout_s)
            return not self._thread.is_alive() and self.error is None
        return True

    def close(self) -> None:
        """Stop after the moment that is made now; what was made is in the index."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> IndexFiller:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, since_ns: int, until_ns: int) -> None:
        try:
            self.fill(since_ns, until_ns)
        except BaseException as error:
            self.error = error
            LOG.warning('The index of moments is not filled: %s', error)
