# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reads a store, while it is written or afterwards; any thread and any process may."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import pathlib
import sqlite3
import threading

import numpy as np

from streamvlm_ros.errors import ErrorCode, StreamError
from streamvlm_ros.store import index as indexes
from streamvlm_ros.store.folder import file_number, store_files
from streamvlm_ros.store.index import Index, IndexUnusableError
from streamvlm_ros.store.moments import Epoch, Moment, StoreError
from streamvlm_ros.store.scan import read_frame, Scan
from streamvlm_ros.view import thinned

LAST = (1 << 63) - 1


class FrameStore:
    """The frames of a store's folder; of the engine's `FrameSource`s the one that goes far back.

    It changes nothing and needs no right to write. What cannot be read is a StreamError with the
    code FILE_ERROR.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        """Read from a folder, which may still be empty or missing."""
        self._folder = folder
        self._lock = threading.Lock()
        self._own: tuple[dict[str, int], Index] | None = None

    @property
    def oldest_stamp_ns(self) -> int | None:
        """Stamp of the oldest frame that is seen; None: there is none."""
        with self._index() as index:
            spans = index.spans()
            return spans[0][1] if spans else None

    @property
    def newest_stamp_ns(self) -> int | None:
        """Stamp of the newest frame that is seen; None: there is none."""
        with self._index() as index:
            spans = index.spans()
            return spans[-1][2] - 1 if spans else None

    @property
    def has_lost(self) -> bool:
        """Whether older frames were removed, because the store was full or they too old."""
        try:
            names = store_files(self._folder)
        except OSError:
            return False
        return bool(names) and file_number(names[0]) > 1

    def frames(self, since_ns: int, until_ns: int, count: int) -> list[tuple[int, np.ndarray]]:
        """Return frames of a time, spread evenly over it.

        Args:
            since_ns, until_ns: header stamps, both included; 0: the oldest, the newest. A time
                that came twice, because stamps went back, is that of the later epoch.
            count: at most so many.

        Returns:
            Stamp and RGB uint8 [h, w, 3] of each, in the order of their stamps.

        """
        with self._index() as index:
            stamps = index.stamps(since_ns, until_ns or LAST)
            chosen = [stamps[i] for i in thinned(len(stamps), count)]
            moments = [index.moment(epoch, stamp_ns) for epoch, stamp_ns in chosen]
        found = []
        for moment in moments:
            image = self.image(moment) if moment is not None else None
            if moment is not None and image is not None:
                found.append((moment.stamp_ns, image))
        return found

    def moments(self, since_ns: int = 0, until_ns: int = 0) -> list[Moment]:
        """Return the frames of a time without their pixels; the times are as for `frames`."""
        with self._index() as index:
            return list(index.moments(since_ns, until_ns or LAST))

    def moment(self, epoch: int, stamp_ns: int) -> Moment | None:
        """Return the frame of an epoch with this stamp; None: there is none."""
        with self._index() as index:
            return index.moment(epoch, stamp_ns)

    def image(self, moment: Moment) -> np.ndarray | None:
        """Return a frame, RGB uint8 [h, w, 3]; None: it is not in the store any more."""
        return read_frame(self._folder / moment.file, moment.offset, moment.stamp_ns)

    def epochs(self) -> dict[int, Epoch]:
        """Return clock and zone of every epoch, by its number."""
        with self._index() as index:
            return index.epochs()

    @contextlib.contextmanager
    def _index(self) -> Iterator[Index]:
        """Open the index; make one in memory if the folder's is of no use.

        Raises:
            StreamError: FILE_ERROR; the index cannot be read, or a newer program has written the
                store.

        """
        try:
            try:
                # Each time anew: the writer may have replaced it.
                index = Index.open(self._folder / indexes.NAME, read_only=True)
            except IndexUnusableError:
                with self._lock:
                    yield self._in_memory()
                return
            try:
                yield index
            finally:
                index.close()
        except (StoreError, sqlite3.Error) as error:
            raise StreamError(
                ErrorCode.FILE_ERROR, f'The store in {self._folder} cannot be read: {error}'
            ) from error

    def _in_memory(self) -> Index:
        """Return an index of the files as they are now."""
        try:
            names = store_files(self._folder)
            sizes = {name: (self._folder / name).stat().st_size for name in names}
        except OSError:
            sizes = {}
        if self._own is None or self._own[0] != sizes:
            index = Index.in_memory()
            for name, size in sizes.items():
                with contextlib.suppress(OSError):
                    index.put_file(name, size, Scan(self._folder / name).chunks())
            if self._own is not None:
                self._own[1].close()
            self._own = sizes, index
        return self._own[1]
