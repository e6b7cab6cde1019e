# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The folder of the store as its one owner sees it: files that rotate, the index, the lock.

The folder is a bag of rosbag2: files that are complete are listed in metadata.yaml. Their names
are a number, which says their order, and the time (UTC) when they were begun.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import os
import pathlib
import re
import time

from streamvlm_ros.store import index as indexes
from streamvlm_ros.store.bag_file import BagFile
from streamvlm_ros.store.index import Index, IndexUnusableError
from streamvlm_ros.store.messages import Topics
from streamvlm_ros.store.metadata import check_metadata, write_metadata
from streamvlm_ros.store.moments import Epoch, Forgotten, Pose, StoredAnswer, StoreError
from streamvlm_ros.store.rewrite import rewrite, sync_folder
from streamvlm_ros.store.scan import Chunked, Scan

LOCK = '.lock'
_NAME = re.compile(r'(\d{6,})_(\d{8}T\d{6})Z\.mcap')
_PART = re.compile(rf'(metadata\.yaml|{_NAME.pattern})\.part')
_TIME = '%Y%m%dT%H%M%S'
MOST_FILE_BYTES, LEAST_FILE_BYTES = 1 << 25, 1 << 18
MOST_FILE_SECONDS = 600.0
SHARE = 16  # a file has at most this part of the budgets, so that eviction takes little at once


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much is kept.

    Attributes:
        bytes: of all files.
        seconds: age of the oldest frame; 0: any.

    """

    bytes: int
    seconds: float = 0.0

    @property
    def file_bytes(self) -> int:
        """After how many bytes a file is closed."""
        return min(MOST_FILE_BYTES, max(LEAST_FILE_BYTES, self.bytes // SHARE))

    @property
    def file_seconds(self) -> float:
        """After how many seconds a file is closed."""
        return min(MOST_FILE_SECONDS, self.seconds / SHARE or MOST_FILE_SECONDS)


def store_files(folder: pathlib.Path) -> list[str]:
    """Return the names of a store's files, oldest first; other files are not looked at.

    Raises:
        OSError: the folder cannot be read.

    """
    names = [name for name in os.listdir(folder) if _NAME.fullmatch(name)]
    return sorted(names, key=file_number)


class StoreFolder:
    """Writes into the folder. One thread uses it; errors leave it closed, see `abandon`.

    Every method raises OSError or sqlite3.Error if the disk is full, gone or not writable, and
    StoreError with a sentence; then the folder is to be abandoned and opened again later.

    Attributes:
        path: the folder.
        frames: how many frames the index knows.
        unread: files whose rows are not in the index yet.

    """

    def __init__(self, path: pathlib.Path, topics: Topics, budget: Budget) -> None:
        """Do not touch the disk yet; see `open`."""
        self.path = path
        self.frames = 0
        self.unread: list[str] = []
        self._topics, self._budget = topics, budget
        self._lock: int | None = None
        self._index: Index | None = None
        self._file: BagFile | None = None
        self._sizes: dict[str, int] = {}
        self._last_epoch = 0
        self._began = 0.0  # monotonic time at which the open file was begun
        self._was_there = False

    @property
    def is_open(self) -> bool:
        """Whether it can be written."""
        return self._index is not None

    @property
    def size(self) -> int:
        """The length in bytes of all files together."""
        return sum(self._sizes.values()) + (self._file.length if self._file else 0)

    def open(self) -> None:
        """Lock the folder, make it if it is not there, and bring files and index together.

        What a killed process has left open is completed. Other files that the index does not know
        are read later, by `tidy`, so that writing begins at once.
        """
        # A folder that has gone is made again, but not its parents: they may be a disk's.
        self.path.mkdir(0o700, parents=not self._was_there, exist_ok=True)
        self._was_there = True
        check_metadata(self.path)
        self._take_lock()
        for name in os.listdir(self.path):
            if _PART.fullmatch(name):  # ours, and not complete
                (self.path / name).unlink()
        place = self.path / indexes.NAME
        try:
            self._index = Index.open(place)
        except IndexUnusableError:
            self._index = Index.create(place)
        index, known = self._index, self._index.files()
        names = store_files(self.path)
        self._sizes = {name: (self.path / name).stat().st_size for name in names}
        for name in known.keys() - self._sizes.keys():
            index.remove_file(name)
        self.unread = [name for name in names if known.get(name) != self._sizes[name]]
        # Numbers of epochs go on from those of the newest file.
        if names and names[-1] in self.unread:
            self._read_next()
        self._last_epoch = max(index.epochs(), default=0)
        self.frames = index.counts()[0]
        self._write_metadata()

    def begin_epoch(self, epoch: Epoch) -> Epoch:
        """Return an epoch with the next number of the store."""
        self._last_epoch += 1
        return dataclasses.replace(epoch, number=self._last_epoch)

    def write_frame(
        self,
        stamp_ns: int,
        wall_ns: int,
        frame_id: str,
        jpeg: bytes,
        epoch: Epoch,
        pose: Pose | None,
    ) -> None:
        """Write a frame into the open file, and then its row."""
        file, index = self._open_file()
        offset = file.write_frame(stamp_ns, wall_ns, frame_id, jpeg, epoch, pose)
        row = Chunked(offset, wall_ns, stamp_ns, epoch, [], frame_id, pose)
        index.add(file.path.name, row)
        self.frames += 1

    def write_answer(self, answer: StoredAnswer, wall_ns: int, epoch: Epoch) -> None:
        """Write an answer into the open file, and then its row."""
        file, index = self._open_file()
        offset = file.write_answer(answer, wall_ns, epoch)
        row = Chunked(offset, wall_ns, answer.last_ns, epoch, [], answer=answer)
        index.add(file.path.name, row)

    def tidy(self) -> None:
        """Do what is due: close a file that is full or old, read one, remove the oldest ones."""
        self._rotate()
        if self.unread:
            self._read_next()
            self._write_metadata()
        self._evict()

    def forget(self, since_ns: int, until_ns: int) -> Forgotten:
        """Take frames, poses and answers of a time out, with all their bytes.

        Args:
            since_ns, until_ns: header stamps, both included, of whatever epoch.

        """
        self.close_file()
        while self.unread:
            self._read_next()
        index = self._opened()
        before, (frames, answers) = self.size, index.counts()
        for name in index.files_with(since_ns, until_ns):
            path = self.path / name
            kept = rewrite(
                path, self._topics, lambda chunk: not _within(chunk, since_ns, until_ns)
            )
            index.remove_file(name)
            del self._sizes[name]
            if kept:
                self._read(name)
        index.wipe()
        self._write_metadata()
        frames_now, answers_now = index.counts()
        self.frames = frames_now
        return Forgotten(frames - frames_now, answers - answers_now, before - self.size)

    def close_file(self) -> None:
        """Complete the open file, if there is one with messages."""
        if self._file is None:
            return
        file, index = self._file, self._opened()
        file.close()
        self._file = None
        name = file.path.name
        self._sizes[name] = file.path.stat().st_size
        index.close_file(name, self._sizes[name])
        self._write_metadata()

    def close(self) -> None:
        """Complete the open file and let another process have the folder."""
        self.close_file()
        self.abandon()

    def abandon(self) -> None:
        """Give up what is open as it is on the disk; it can be opened again. Raises nothing."""
        if self._file is not None:
            self._file.abandon()
            self._file = None
        if self._index is not None:
            with contextlib.suppress(Exception):
                self._index.close()
            self._index = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _opened(self) -> Index:
        if self._index is None:
            raise StoreError(f'{self.path} is not open.')
        return self._index

    def _open_file(self) -> tuple[BagFile, Index]:
        index = self._opened()
        if (self._file is not None and self._file.is_gone) or not (self.path / LOCK).exists():
            raise StoreError(f'The files of {self.path} were removed while they were written.')
        self._rotate()
        if self._file is None:
            number = 1 + max((file_number(name) for name in self._sizes), default=0)
            now = datetime.datetime.now(datetime.timezone.utc).strftime(_TIME)
            path = self.path / f'{number:06}_{now}Z.mcap'
            self._file = BagFile(path, self._topics)
            self._began = time.monotonic()
            index.put_file(path.name, indexes.OPEN, ())
        return self._file, index

    def _rotate(self) -> None:
        """Close the open file if it is large or old enough."""
        if self._file is not None and (
            self._file.length >= self._budget.file_bytes
            or time.monotonic() - self._began >= self._budget.file_seconds
        ):
            self.close_file()
            self._evict()

    def _take_lock(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._lock = os.open(self.path / LOCK, flags, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._lock, 32).decode(errors='replace').strip()
            raise StoreError(
                f'{self.path} is written by another process ({owner or "unknown"}) already; give '
                'each node a store_folder of its own.'
            ) from None
        os.ftruncate(self._lock, 0)
        os.write(self._lock, f'{os.getpid()}\n'.encode())

    def _read_next(self) -> None:
        """Read the newest file that the index does not know."""
        name = self.unread[-1]
        scan = Scan(self.path / name)
        for _ in scan.chunks():
            pass
        if scan.complete or rewrite(self.path / name, self._topics):
            self._read(name)
        else:
            self._opened().remove_file(name)
            del self._sizes[name]
        self.unread.pop()
        self.frames = self._opened().counts()[0]

    def _read(self, name: str) -> None:
        """Put the rows of a complete file into the index."""
        path = self.path / name
        self._sizes[name] = path.stat().st_size
        self._opened().put_file(name, self._sizes[name], Scan(path).chunks())

    def _evict(self) -> None:
        budget = self._budget
        oldest_kept = time.time() - budget.seconds if budget.seconds else 0.0
        if self._file is not None and _time(self._file.path.name) < oldest_kept:
            self.close_file()
        evicted = False
        names = sorted(self._sizes, key=file_number)
        # A clock that was wrong once has given an older file a later time.
        old = [place for place, name in enumerate(names) if _time(name) < oldest_kept] or [-1]
        for place, name in enumerate(names):
            if self.size <= budget.bytes and place > old[-1]:
                break
            # The rows first: a row without a file would be a frame that is not there.
            self._opened().remove_file(name)
            (self.path / name).unlink(missing_ok=True)
            del self._sizes[name]
            if name in self.unread:
                self.unread.remove(name)
            evicted = True
        if evicted:
            self.frames = self._opened().counts()[0]
            self._write_metadata()

    def _write_metadata(self) -> None:
        write_metadata(self.path, self._topics, self._opened().counts_by_file())
        sync_folder(self.path)


def file_number(name: str) -> int:
    """Return the number of a file, by which the files are in order."""
    return int(name.partition('_')[0])


def _time(name: str) -> float:
    """Return when a file was begun, in seconds since 1970."""
    match = _NAME.fullmatch(name)
    assert match is not None
    try:
        when = datetime.datetime.strptime(match[2], _TIME)
    except ValueError:
        return 0.0
    return when.replace(tzinfo=datetime.timezone.utc).timestamp()


def _within(chunk: Chunked, since_ns: int, until_ns: int) -> bool:
    """Tell whether a chunk is of a time, or about it."""
    answer = chunk.answer
    first, last = (answer.first_ns, answer.last_ns) if answer else (chunk.stamp_ns,) * 2
    return first <= until_ns and last >= since_ns
