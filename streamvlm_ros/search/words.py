# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Lines of text by the words in them, with SQLite's full-text search (FTS5)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
import os
import re
from types import TracebackType

from streamvlm_ros import checks
from streamvlm_ros.search.moments import (
    check_count,
    check_moment,
    check_span,
    Found,
    Moment,
    refuse,
)
from streamvlm_ros.search.sqlite_file import SqliteFile

VERSION = 1
MOST_CHARACTERS = 10_000  # of a line, and of what is searched for
# English words are found in all their forms; accents do not count.
TABLES = """
create table lines(
    id integer primary key, stream text not null, number integer not null,
    stamp integer not null, text text not null, unique(stream, number));
create index stamps on lines(stream, stamp);
create virtual table words using fts5(
    text, content = 'lines', content_rowid = 'id', tokenize = 'porter unicode61')
"""


class WordIndex:
    """Lines, each with its moment; any thread may call any method.

    A search takes lines that have at least one of its words; the more of them and the rarer, the
    nearer (BM25). What was added is there after the process was killed.
    """

    def __init__(self, path: str | os.PathLike[str], read_only: bool = False) -> None:
        """Open the file, or make it.

        Args:
            path: of the file; its folder is there.
            read_only: only search in it, while another process keeps it.

        Raises:
            StreamError: FILE_ERROR; it is damaged, of another version, or another process keeps
                it.

        """
        self._file = SqliteFile(path, 'index of words', VERSION, TABLES, not read_only)

    def add(self, moments: Sequence[Moment], texts: Sequence[str]) -> int:
        """Add lines, all or none of them; a moment that has one keeps it.

        Returns:
            How many were new.

        Raises:
            StreamError: INVALID_REQUEST, FILE_ERROR.

        """
        if len(moments) != len(texts):
            refuse(f'{len(moments)} moments came with {len(texts)} lines; give one for each.')
        lines = [checks.text('line', text) for text in texts]
        for moment, text in zip(moments, lines):
            check_moment(moment)
            _check_length('A line', text)
        added = 0
        with self._file.writing() as base:
            for moment, text in zip(moments, lines):
                cursor = base.execute(
                    'insert or ignore into lines(stream, number, stamp, text) values(?, ?, ?, ?)',
                    (moment.stream, moment.number, moment.stamp_ns, text),
                )
                if cursor.rowcount:
                    added += 1
                    base.execute(
                        'insert into words(rowid, text) values(?, ?)', (cursor.lastrowid, text)
                    )
        return added

    def search(
        self,
        text: str,
        count: int,
        since_ns: int = 0,
        until_ns: int = 0,
        streams: Collection[str] = (),
    ) -> list[tuple[Found, str]]:
        """Return lines with words of a text, the nearest first; a span as for ``MomentIndex``.

        Raises:
            StreamError: INVALID_REQUEST, FILE_ERROR.

        """
        text = checks.text('text to search for', text)
        _check_length('The text to search for', text)
        check_count(count)
        since_ns, until_ns = check_span(since_ns, until_ns)
        # In quotation marks nothing is an operator of the search's own language.
        words = ' OR '.join(f'"{word}"' for word in re.findall(r'\w+', text))
        if not words:
            refuse(f'The text to search for is {text!r:.80}, which has no word; give one.')
        chosen = f'and stream in ({", ".join("?" * len(streams))}) ' if streams else ''
        with self._file.reading() as base:
            rows = base.execute(
                'select number, stamp, stream, lines.text, rank from words '
                'join lines on lines.id = words.rowid '
                f'where words match ? and stamp between ? and ? {chosen}'
                'order by rank, stamp desc limit ?',
                (words, since_ns, until_ns, *streams, count),
            ).fetchall()
        return [
            (Found(Moment(number, stamp_ns, stream), -rank), line)
            for number, stamp_ns, stream, line, rank in rows
        ]

    def remove(self, since_ns: int = 0, until_ns: int = 0, streams: Collection[str] = ()) -> int:
        """Forget lines for good and return how many; a span as for ``search``.

        Raises:
            StreamError: FILE_ERROR.  BUSY; they are removed, but another process still reads
                their bytes.

        """
        since_ns, until_ns = check_span(since_ns, until_ns)
        chosen = f'and stream in ({", ".join("?" * len(streams))})' if streams else ''
        with self._file.writing() as base:
            removed = base.execute(
                f'delete from lines where stamp between ? and ? {chosen}',
                (since_ns, until_ns, *streams),
            ).rowcount
            if removed:
                # FTS5 only marks what is deleted; made anew, it has no word of it left.
                base.execute("insert into words(words) values('rebuild')")
        self._file.forget_deleted()
        return removed

    def count(self) -> int:
        """Return how many lines there are."""
        with self._file.reading() as base:
            [(count,)] = base.execute('select count(*) from lines')
        return int(count)

    def close(self) -> None:
        """Close the file.  May be called again."""
        self._file.close()

    def __enter__(self) -> WordIndex:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _check_length(what: str, text: str) -> None:
    if len(text) > MOST_CHARACTERS:
        refuse(f'{what} has {len(text):,} characters; give at most {MOST_CHARACTERS:,}.')
