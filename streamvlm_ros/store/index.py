# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The index of the store, in SQLite: which frame is where.

The files are the truth and the index is a cache of them: it may be lost at any time. So SQLite
does not wait for the disk, and an index that is missing, torn or of another version is made anew.
Nobody but the store's owner writes; others open it for reading only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import contextlib
import os
import pathlib
import sqlite3

from streamvlm_ros.store.moments import Epoch, Moment, Pose
from streamvlm_ros.store.scan import Chunked

NAME = 'index.sqlite'
VERSION = 1
_APPLICATION = 0x53564C4D  # 'SVLM', of PRAGMA application_id
PATIENCE = 5.0  # seconds to wait for a reader or for the writer
OPEN = -1  # bytes of a file that is not closed yet
_TABLES = f"""
CREATE TABLE files (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, bytes INTEGER NOT NULL,
    first_wall_ns INTEGER, last_wall_ns INTEGER);
CREATE TABLE epochs (
    number INTEGER PRIMARY KEY, stream_epoch INTEGER, clock TEXT, zone TEXT, utc_offset INTEGER);
CREATE TABLE frames (
    id INTEGER PRIMARY KEY, file INTEGER NOT NULL, offset INTEGER NOT NULL,
    epoch INTEGER NOT NULL, stamp_ns INTEGER NOT NULL, wall_ns INTEGER NOT NULL,
    frame_id TEXT NOT NULL, x REAL, y REAL, z REAL, qx REAL, qy REAL, qz REAL, qw REAL,
    pose_frame TEXT);
CREATE TABLE answers (
    id INTEGER PRIMARY KEY, file INTEGER NOT NULL, offset INTEGER NOT NULL,
    wall_ns INTEGER NOT NULL, first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL);
CREATE INDEX frames_by_stamp ON frames (epoch, stamp_ns);
CREATE INDEX frames_by_file ON frames (file);
CREATE INDEX answers_by_file ON answers (file);
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {VERSION};
"""
_MOMENT = (
    'SELECT stamp_ns, wall_ns, frame_id, epoch, x, y, z, qx, qy, qz, qw, pose_frame, name, offset '
    'FROM frames JOIN files ON files.id = frames.file '
)


class IndexUnusableError(Exception):
    """The index is missing, torn or of another version."""


class Index:
    """The rows about the files of one folder."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use an open connection; see `create`, `open` and `in_memory`."""
        self._sql = connection

    @classmethod
    def create(cls, path: pathlib.Path) -> Index:
        """Make an empty index in the place of what is there.

        Raises:
            OSError, sqlite3.Error: it cannot be written.

        """
        for old in (path, path.with_name(path.name + '-journal')):
            old.unlink(missing_ok=True)
        index = cls(_connect(path))
        index._sql.executescript(_TABLES)
        return index

    @classmethod
    def open(cls, path: pathlib.Path, *, read_only: bool = False) -> Index:
        """Open an index that is there.

        Raises:
            IndexUnusableError: it is missing, torn or of another version.

        """
        if not path.is_file():
            raise IndexUnusableError(f'{path} is missing')
        try:
            index = cls(_connect(path, read_only=read_only))
        except sqlite3.Error as error:
            raise IndexUnusableError(str(error)) from error
        try:
            found = tuple(
                index._sql.execute(f'PRAGMA {name}').fetchone()[0]
                for name in ('application_id', 'user_version')
            )
            if found != (_APPLICATION, VERSION):
                raise IndexUnusableError(f'{path} is of another version')
            if not read_only:
                (state,) = index._sql.execute('PRAGMA quick_check(1)').fetchone()
                if state != 'ok':
                    raise IndexUnusableError(f'{path} is damaged: {state}')
        except sqlite3.Error as error:
            index.close()
            raise IndexUnusableError(str(error)) from error
        except IndexUnusableError:
            index.close()
            raise
        return index

    @classmethod
    def in_memory(cls) -> Index:
        """Make an empty index that is on no disk, for a folder that cannot be written."""
        index = cls(sqlite3.connect(':memory:', check_same_thread=False, isolation_level=None))
        index._sql.executescript(_TABLES)
        return index

    def close(self) -> None:
        """Close the connection."""
        self._sql.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what is done within one change: all of it or nothing."""
        self._sql.execute('BEGIN IMMEDIATE')
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._sql.execute('ROLLBACK')
            raise
        self._sql.execute('COMMIT')

    def files(self) -> dict[str, int]:
        """Return the length of every file that is known, as it was when it was closed."""
        return dict(self._sql.execute('SELECT name, bytes FROM files'))

    def put_file(self, name: str, length: int, chunks: Iterable[Chunked]) -> None:
        """Replace all rows of a file."""
        with self.transaction():
            self._remove(name)
            self._sql.execute('INSERT INTO files (name, bytes) VALUES (?, ?)', (name, length))
            for chunk in chunks:
                self._add(name, chunk)

    def add(self, name: str, chunk: Chunked) -> None:
        """Add the row of one chunk of a file that is open."""
        with self.transaction():
            self._add(name, chunk)

    def close_file(self, name: str, length: int) -> None:
        """Note that a file is complete, and how long it is."""
        self._sql.execute('UPDATE files SET bytes = ? WHERE name = ?', (length, name))

    def remove_file(self, name: str) -> None:
        """Remove all rows of a file."""
        with self.transaction():
            self._remove(name)

    def wipe(self) -> None:
        """Overwrite what was removed, so that no byte of it is left in the index's file."""
        self._sql.execute('VACUUM')

    def files_with(self, since_ns: int, until_ns: int) -> list[str]:
        """Return the files that have a frame of this time, or an answer that saw one."""
        rows = self._sql.execute(
            'SELECT name FROM files WHERE id IN '
            '(SELECT file FROM frames WHERE stamp_ns BETWEEN :since AND :until) OR id IN '
            '(SELECT file FROM answers WHERE first_ns <= :until AND last_ns >= :since) '
            'ORDER BY name',
            {'since': since_ns, 'until': until_ns},
        )
        return [name for (name,) in rows]

    def counts(self) -> tuple[int, int]:
        """Return how many frames and answers there are."""
        query = 'SELECT (SELECT count(*) FROM frames), (SELECT count(*) FROM answers)'
        frames, answers = self._sql.execute(query).fetchone()
        return frames, answers

    def counts_by_file(self) -> list[tuple[str, int, int, int, int, int]]:
        """Return name, first and last wall time, frames, poses and answers of complete files."""
        rows = self._sql.execute(
            'SELECT name, coalesce(first_wall_ns, 0), coalesce(last_wall_ns, 0), '
            '(SELECT count(*) FROM frames WHERE file = files.id), '
            '(SELECT count(pose_frame) FROM frames WHERE file = files.id), '
            '(SELECT count(*) FROM answers WHERE file = files.id) '
            'FROM files WHERE bytes >= 0 ORDER BY name'
        )
        return rows.fetchall()

    def epochs(self) -> dict[int, Epoch]:
        """Return all epochs by their numbers."""
        rows = self._sql.execute(
            'SELECT number, stream_epoch, clock, zone, utc_offset FROM epochs ORDER BY number'
        )
        return {row[0]: Epoch(*row) for row in rows}

    def spans(self) -> list[tuple[int, int, int]]:
        """Return what times of which epoch are seen, as (epoch, from, before), oldest first.

        A time that came twice, because stamps went back, is that of the later epoch: an epoch is
        seen up to the first stamp of those after it.
        """
        rows = self._sql.execute(
            'SELECT number, (SELECT min(stamp_ns) FROM frames WHERE epoch = number) AS first, '
            '(SELECT max(stamp_ns) FROM frames WHERE epoch = number) '
            'FROM epochs WHERE first NOT NULL ORDER BY number DESC'
        )
        seen, before = [], 1 << 63
        for number, first, last in rows:
            if first < before:
                seen.append((number, first, min(before, last + 1)))
                before = first
        return seen[::-1]

    def stamps(self, since_ns: int, until_ns: int) -> list[tuple[int, int]]:
        """Return (epoch, stamp) of every frame that is seen from `since_ns` to `until_ns`."""
        found: list[tuple[int, int]] = []
        for epoch, first, before in self.spans():
            found += self._sql.execute(
                'SELECT epoch, stamp_ns FROM frames '
                'WHERE epoch = ? AND stamp_ns BETWEEN ? AND ? ORDER BY stamp_ns',
                (epoch, max(first, since_ns), min(before - 1, until_ns)),
            ).fetchall()
        return found

    def moment(self, epoch: int, stamp_ns: int) -> Moment | None:
        """Return the frame of an epoch with this stamp; None: there is none."""
        row = self._sql.execute(
            _MOMENT + 'WHERE epoch = ? AND stamp_ns = ? LIMIT 1', (epoch, stamp_ns)
        ).fetchone()
        return None if row is None else _moment(row)

    def moments(self, since_ns: int, until_ns: int) -> Iterator[Moment]:
        """Yield the frames that are seen from `since_ns` to `until_ns`, in that order."""
        for epoch, first, before in self.spans():
            rows = self._sql.execute(
                _MOMENT + 'WHERE epoch = ? AND stamp_ns BETWEEN ? AND ? ORDER BY stamp_ns',
                (epoch, max(first, since_ns), min(before - 1, until_ns)),
            )
            yield from map(_moment, rows)

    def _add(self, name: str, chunk: Chunked) -> None:
        epoch = chunk.epoch
        self._sql.execute(
            'INSERT OR REPLACE INTO epochs VALUES (?, ?, ?, ?, ?)',
            (epoch.number, epoch.stream_epoch, epoch.clock, epoch.zone, epoch.utc_offset),
        )
        (file,) = self._sql.execute('SELECT id FROM files WHERE name = ?', (name,)).fetchone()
        self._sql.execute(
            'UPDATE files SET first_wall_ns = min(coalesce(first_wall_ns, :wall), :wall), '
            'last_wall_ns = max(coalesce(last_wall_ns, :wall), :wall) WHERE id = :file',
            {'wall': chunk.wall_ns, 'file': file},
        )
        if chunk.answer is not None:
            self._sql.execute(
                'INSERT INTO answers (file, offset, wall_ns, first_ns, last_ns) '
                'VALUES (?, ?, ?, ?, ?)',
                (file, chunk.offset, chunk.wall_ns, chunk.answer.first_ns, chunk.answer.last_ns),
            )
            return
        pose = chunk.pose
        placed = (*pose.position, *pose.orientation, pose.frame_id) if pose else (None,) * 8
        self._sql.execute(
            'INSERT INTO frames (file, offset, epoch, stamp_ns, wall_ns, frame_id, x, y, z, '
            f'qx, qy, qz, qw, pose_frame) VALUES ({", ".join("?" * 14)})',
            (file, chunk.offset, epoch.number, chunk.stamp_ns, chunk.wall_ns, chunk.frame_id)
            + placed,
        )

    def _remove(self, name: str) -> None:
        known = '(SELECT id FROM files WHERE name = ?)'
        for table in ('frames', 'answers'):
            self._sql.execute(f'DELETE FROM {table} WHERE file = {known}', (name,))
        self._sql.execute('DELETE FROM files WHERE name = ?', (name,))
        self._sql.execute(
            'DELETE FROM epochs WHERE number NOT IN (SELECT DISTINCT epoch FROM frames)'
        )


def _connect(path: pathlib.Path, *, read_only: bool = False) -> sqlite3.Connection:
    mode = 'ro' if read_only else 'rwc'
    if not read_only:  # it has poses in it
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    sql = sqlite3.connect(
        f'{path.absolute().as_uri()}?mode={mode}',
        uri=True,
        timeout=PATIENCE,
        isolation_level=None,
        check_same_thread=False,
    )
    if not read_only:
        # The journal is emptied after each change, and what is deleted is overwritten: nothing
        # that is forgotten stays in a file. A power failure may tear the index, which is a cache.
        for pragma in (
            'journal_mode = TRUNCATE', 'synchronous = OFF', 'secure_delete = ON',
            'temp_store = MEMORY',
        ):  # fmt: skip
            sql.execute(f'PRAGMA {pragma}')
    return sql


def _moment(row: tuple) -> Moment:
    stamp_ns, wall_ns, frame_id, epoch, *placed, pose_frame, name, offset = row
    pose = None
    if pose_frame is not None:
        x, y, z, qx, qy, qz, qw = placed
        pose = Pose((x, y, z), (qx, qy, qz, qw), pose_frame)
    return Moment(stamp_ns, wall_ns, frame_id, epoch, pose, name, offset)
