# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The index in a SQLite file: exact, on disk, read block by block; see docs/design/search.md."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
import os
import sqlite3
from types import TracebackType

import numpy as np

from streamvlm_ros.search.blocks import BLOCK, Block, Nearest, quantize
from streamvlm_ros.search.moments import (
    check_moments,
    check_search,
    check_span,
    Found,
    Moment,
    refuse,
)
from streamvlm_ros.search.sqlite_file import SqliteFile

VERSION = 1
# A moment is first a row of its own; a stream's rows become a block when there are enough.
TABLES = """
create table made_by(fingerprint text not null, dimensions integer not null);
create table recent(
    stream text not null, number integer not null, stamp integer not null,
    scale blob not null, vector blob not null, primary key(stream, number)) without rowid;
create table blocks(
    id integer primary key, stream text not null, count integer not null,
    first_stamp integer not null, last_stamp integer not null,
    first_number integer not null, last_number integer not null,
    numbers blob not null, stamps blob not null, scales blob not null, vectors blob not null);
create index spans on blocks(stream, first_stamp, last_stamp)
"""
BLOBS = 'numbers, stamps, scales, vectors'


class SqliteMomentIndex:
    """See ``MomentIndex``.

    Vectors are held in a byte a number. A search reads all of the span, so it finds the nearest
    without exception, and what is removed is gone at once.

    Attributes:
        dimensions: numbers of a vector.
        emptied: the file had vectors of another fingerprint, which were removed.

    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fingerprint: str,
        dimensions: int,
        read_only: bool = False,
    ) -> None:
        """Open the file, or make it.

        Args:
            path: of the file; its folder is there.
            fingerprint: of what makes the vectors; those of another are removed.
            dimensions: numbers of a vector.
            read_only: only search in it, while another process keeps it.

        Raises:
            StreamError: FILE_ERROR; the file is damaged, of another version, another process
                keeps it, or, with ``read_only``, its vectors are of another fingerprint.

        """
        if not 1 <= dimensions <= 4096:
            refuse(f'The vectors have {dimensions} dimensions; give 1 to 4096.')
        self.dimensions = dimensions
        self._file = SqliteFile(path, 'index', VERSION, TABLES, not read_only)
        try:
            self.emptied = self._claim(fingerprint, read_only)
        except BaseException:
            self._file.close()
            raise

    def add(self, moments: Sequence[Moment], vectors: np.ndarray) -> int:
        """See ``MomentIndex``."""
        vectors = check_moments(moments, vectors, self.dimensions)
        scales, small = quantize(vectors)
        with self._file.writing() as base:
            new = [
                (moment.stream, moment.number, moment.stamp_ns, scale.tobytes(), row.tobytes())
                for moment, scale, row in zip(moments, scales, small)
                if not self._in_block(base, moment)
            ]
            before = base.total_changes
            base.executemany('insert or ignore into recent values(?, ?, ?, ?, ?)', new)
            added = base.total_changes - before
            for stream in {moment.stream for moment in moments}:
                self._pack(base, stream)
        return added

    def search(
        self,
        vector: np.ndarray,
        count: int,
        since_ns: int = 0,
        until_ns: int = 0,
        streams: Collection[str] = (),
    ) -> list[Found]:
        """See ``MomentIndex``."""
        vector = check_search(vector, count, self.dimensions)
        since_ns, until_ns = check_span(since_ns, until_ns)
        nearest = Nearest(vector, count, since_ns, until_ns)
        with self._file.reading() as base:
            base.execute('begin')
            for stream in self._streams(base, streams):
                for _, block in self._blocks(base, stream, since_ns, until_ns):
                    nearest.look(stream, block)
                recent = self._recent(base, stream)
                for start in range(0, len(recent.numbers), BLOCK):
                    part = slice(start, start + BLOCK)
                    nearest.look(stream, Block(*(array[part] for array in recent.parts)))
        return [
            Found(Moment(number, stamp_ns, stream), score)
            for score, stream, number, stamp_ns in nearest.best()
        ]

    def known(self, stream: str, since_ns: int = 0, until_ns: int = 0) -> set[int]:
        """See ``MomentIndex``."""
        since_ns, until_ns = check_span(since_ns, until_ns)
        with self._file.reading() as base:
            base.execute('begin')
            blocks = [block for _, block in self._blocks(base, stream, since_ns, until_ns)]
            every = Block.joined([*blocks, self._recent(base, stream)])
        return set(every.numbers[every.within(since_ns, until_ns)].tolist())

    def remove(self, since_ns: int = 0, until_ns: int = 0, streams: Collection[str] = ()) -> int:
        """See ``MomentIndex``.

        Raises:
            StreamError: BUSY; they are removed, but another process still reads their bytes.

        """
        since_ns, until_ns = check_span(since_ns, until_ns)
        removed = 0
        with self._file.writing() as base:
            for stream in self._streams(base, streams):
                for row, block in list(self._blocks(base, stream, since_ns, until_ns)):
                    gone = block.within(since_ns, until_ns)
                    removed += int(gone.sum())
                    base.execute('delete from blocks where id = ?', (row,))
                    if not gone.all():
                        self._insert(base, stream, block.taken(~gone))
                removed += base.execute(
                    'delete from recent where stream = ? and stamp between ? and ?',
                    (stream, since_ns, until_ns),
                ).rowcount
        self._file.forget_deleted()
        return removed

    def count(self) -> int:
        """See ``MomentIndex``."""
        with self._file.reading() as base:
            [(count,)] = base.execute(
                'select (select coalesce(sum(count), 0) from blocks) + '
                '(select count(*) from recent)'
            )
        return int(count)

    def close(self) -> None:
        """See ``MomentIndex``."""
        self._file.close()

    def __enter__(self) -> SqliteMomentIndex:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _claim(self, fingerprint: str, read_only: bool) -> bool:
        """Remove vectors that something else has made; return whether there were any."""
        wanted = (fingerprint, self.dimensions)
        with self._file.reading() as base:
            found = base.execute('select fingerprint, dimensions from made_by').fetchall()
        if found == [wanted]:
            return False
        if read_only:
            refuse(
                f'The index {self._file.path} has vectors of {found[0][0] if found else "nothing"}'
                f', and {fingerprint} was to search in it; search with what has made them.'
            )
        with self._file.writing() as base:
            for table in ('blocks', 'recent', 'made_by'):
                base.execute(f'delete from {table}')
            base.execute('insert into made_by values(?, ?)', wanted)
        if found:
            self._file.forget_deleted()
        return bool(found)

    def _streams(self, base: sqlite3.Connection, wanted: Collection[str]) -> list[str]:
        """Return the streams that are searched, of those that are there."""
        found = base.execute('select stream from blocks union select stream from recent')
        return [stream for (stream,) in found if not wanted or stream in wanted]

    def _blocks(
        self, base: sqlite3.Connection, stream: str, since_ns: int, until_ns: int
    ) -> Iterator[tuple[int, Block]]:
        """Yield the id and the content of the blocks that reach into a span."""
        rows = base.execute(
            f'select id, count, {BLOBS} from blocks '
            'where stream = ? and first_stamp <= ? and last_stamp >= ?',
            (stream, until_ns, since_ns),
        )
        for row, count, *blobs in rows:
            yield row, self._unpacked(count, blobs)

    def _recent(self, base: sqlite3.Connection, stream: str) -> Block:
        """Return the rows of a stream that are in no block yet, in the order of their stamps."""
        rows = base.execute(
            'select number, stamp, scale, vector from recent where stream = ? order by stamp',
            (stream,),
        ).fetchall()
        numbers, stamps, scales, vectors = zip(*rows) if rows else ((), (), (), ())
        pair = np.array([numbers, stamps], np.int64).reshape(2, -1)
        blobs = [pair[0].tobytes(), pair[1].tobytes(), b''.join(scales), b''.join(vectors)]
        return self._unpacked(len(rows), blobs)

    def _unpacked(self, count: int, blobs: Sequence[bytes]) -> Block:
        try:
            return Block.unpacked(count, self.dimensions, blobs)
        except (TypeError, ValueError) as error:
            self._file.damaged(error)

    def _in_block(self, base: sqlite3.Connection, moment: Moment) -> bool:
        rows = base.execute(
            'select numbers from blocks where stream = ? and first_stamp <= ? and last_stamp >= ? '
            'and first_number <= ? and last_number >= ?',
            (moment.stream, moment.stamp_ns, moment.stamp_ns, moment.number, moment.number),
        )
        return any(moment.number in np.frombuffer(numbers, np.int64) for (numbers,) in rows)

    def _pack(self, base: sqlite3.Connection, stream: str) -> None:
        """Make blocks of a stream's rows while there are enough for one."""
        [(count,)] = base.execute('select count(*) from recent where stream = ?', (stream,))
        if count < BLOCK:
            return
        rows = self._recent(base, stream)
        for start in range(0, count // BLOCK * BLOCK, BLOCK):
            part = slice(start, start + BLOCK)
            block = Block(*(array[part] for array in rows.parts))
            self._insert(base, stream, block)
            base.executemany(
                'delete from recent where stream = ? and number = ?',
                [(stream, number) for number in block.numbers.tolist()],
            )

    @staticmethod
    def _insert(base: sqlite3.Connection, stream: str, block: Block) -> None:
        base.execute(
            'insert into blocks(stream, count, first_stamp, last_stamp, first_number, '
            f'last_number, {BLOBS}) values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
            (
                stream,
                len(block.numbers),
                int(block.stamps.min()),
                int(block.stamps.max()),
                int(block.numbers.min()),
                int(block.numbers.max()),
                *block.blobs,
            ),
        )
