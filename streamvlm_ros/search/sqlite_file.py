# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A SQLite file that one process writes, and what can be wrong with one."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import fcntl
import os
import pathlib
import sqlite3
import threading
from typing import IO, NoReturn

from streamvlm_ros.errors import ErrorCode, StreamError

WAIT_S = 5.0  # for another process that reads


class SqliteFile:
    """A file of tables, kept by one process; others may read it meanwhile.

    A transaction that was committed is there after the process was killed. What is deleted is
    overwritten. Any thread may use it.

    Attributes:
        path: of the file.

    """

    def __init__(
        self, path: str | os.PathLike[str], what: str, version: int, tables: str, writes: bool
    ) -> None:
        """Open the file, or make it.

        Args:
            path: of the file; its folder is there.
            what: what it is, for sentences.
            version: of its layout.
            tables: statements that make the tables, where they are not there.
            writes: keep it; otherwise it is only read.

        Raises:
            StreamError: FILE_ERROR; it is damaged, of another version, another process keeps it,
                or the system refuses.

        """
        self.path = pathlib.Path(path)
        self._what = what
        self._lock = threading.RLock()
        self._held: IO[bytes] | None = self._keep() if writes else None
        self._base: sqlite3.Connection | None = None
        try:
            if not writes and not self.path.is_file():
                self._refuse('is not there; a node that searches makes it')
            with self._faults():
                self._base = self._open(writes)
                self._check_version(version, tables, writes)
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction, which is committed at the end of the block, or not at all.

        Raises:
            StreamError: FILE_ERROR.

        """
        with self._lock, self._faults():
            base = self._connection()
            base.execute('begin immediate')
            try:
                yield base
                base.execute('commit')
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    base.execute('rollback')
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read with a connection of its own: what is written meanwhile does not wait.

        Raises:
            StreamError: FILE_ERROR.

        """
        with self._faults():
            self._connection()
            with contextlib.closing(self._open(writes=False)) as base:
                yield base

    def forget_deleted(self) -> None:
        """See to it that no byte of what was deleted is in the files.

        Raises:
            StreamError: BUSY; it is deleted, but another process still reads what was there.

        """
        with self._lock, self._faults():
            [(busy, _, _)] = self._connection().execute('pragma wal_checkpoint(truncate)')
        if busy:
            raise StreamError(
                ErrorCode.BUSY,
                f'The moments are removed, but another process reads the {self._what} '
                f'{self.path}, so their bytes stay in {self.path.name}-wal; close that process '
                'and forget them again.',
            )

    def close(self) -> None:
        """Close it.  May be called again."""
        with self._lock:
            if self._base is not None:
                self._base.close()
                self._base = None
            if self._held is not None:
                self._held.close()
                self._held = None

    def damaged(self, why: object) -> NoReturn:
        """Raise StreamError FILE_ERROR for content that cannot be."""
        self._refuse(f'is damaged ({why}); delete it, and it is made anew from the frames')

    def _keep(self) -> IO[bytes]:
        """Return the lock of the one process that writes."""
        lock = self.path.with_name(self.path.name + '.lock')
        try:
            held = open(lock, 'ab')  # noqa: SIM115 - held until close
        except OSError as error:
            self._refuse(f'cannot be made: {error.strerror}: {lock}; choose another folder')
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            held.close()
            self._refuse(
                'is kept by another process; end that one, or give each of them a file of its own'
            )
        return held

    def _open(self, writes: bool) -> sqlite3.Connection:
        base = sqlite3.connect(
            self.path.absolute().as_uri() + ('' if writes else '?mode=ro'),
            uri=True,
            timeout=WAIT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        if writes:
            base.execute('pragma page_size = 8192')
            base.execute('pragma journal_mode = wal')
            # The newest transactions can be lost when the power goes, never the file.
            base.execute('pragma synchronous = normal')
            base.execute('pragma secure_delete = on')
        return base

    def _check_version(self, version: int, tables: str, writes: bool) -> None:
        base = self._connection()
        [(found,)] = base.execute('pragma user_version')
        empty = not base.execute('select 1 from sqlite_master limit 1').fetchall()
        if empty and writes:
            base.executescript(f'begin; {tables}; pragma user_version = {version}; commit;')
        elif found != version:
            self._refuse(
                f'has version {found} and not {version}; delete it, and it is made anew from the '
                'frames, or take the release that wrote it'
            )

    def _connection(self) -> sqlite3.Connection:
        if self._base is None:
            self._refuse('was closed')
        return self._base

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Raise SQLite's own errors as those of a user's file."""
        try:
            yield
        except sqlite3.OperationalError as error:
            self._refuse(f'cannot be used: {error}; look at its disk, folder and rights')
        except sqlite3.DatabaseError as error:
            self.damaged(error)

    def _refuse(self, wrong: str) -> NoReturn:
        raise StreamError(ErrorCode.FILE_ERROR, f'The {self._what} {self.path} {wrong}.')
