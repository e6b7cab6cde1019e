# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The engines that are compared, each behind the same few methods."""

# ruff: noqa: D102 - the methods of every engine are those of Engine
from __future__ import annotations

from collections.abc import Callable
import os
import pathlib
from typing import Protocol

import numpy as np

DIMENSIONS, BATCH, COUNT = 512, 500, 50
SECOND = 1_000_000_000


def vectors(first: int, count: int) -> np.ndarray:
    """Return float32 [count, 512] of length 1: scenes of a minute in a space of 64 dimensions."""
    latent = np.random.default_rng(1).standard_normal((64, DIMENSIONS), dtype=np.float32)
    rng = np.random.default_rng((2, first))
    scene = [
        np.random.default_rng((3, number)).standard_normal(64, dtype=np.float32)
        for number in range(first // 60, (first + count) // 60 + 1)
    ]
    centre = np.stack([scene[i // 60 - first // 60] for i in range(first, first + count)])
    rows = (centre + 0.5 * rng.standard_normal((count, 64), dtype=np.float32)) @ latent
    rows += rng.standard_normal(rows.shape, dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def small(rows: np.ndarray) -> np.ndarray:
    """Return vectors as int8; the largest number of a vector is seldom above 0.25."""
    return np.clip(np.rint(rows * 508), -127, 127).astype(np.int8)


class Engine(Protocol):
    """What is measured of each."""

    def add(self, first: int, rows: np.ndarray) -> None:
        """Insert vectors [n, 512], numbered from ``first`` on, a second apart; make them last."""

    def search(self, row: np.ndarray, since: int, until: int) -> list[int]:
        """Return the numbers of the nearest vectors of a span of stamps."""

    def remove(self, since: int, until: int) -> None:
        """Delete a span for good."""

    def count(self) -> int:
        """Return how many there are."""

    def needle(self, row: np.ndarray) -> bytes:
        """Return the bytes in which a vector is stored."""

    def close(self) -> None:
        """Close the files."""


class Streamvlm:
    """The package's own: blocks of int8 in SQLite, multiplied by NumPy."""

    def __init__(self, folder: pathlib.Path) -> None:
        from streamvlm_ros.search.moments import Moment
        from streamvlm_ros.search.sqlite_index import SqliteMomentIndex

        self.moment = Moment
        self.index = SqliteMomentIndex(folder / 'index.db', 'benchmark', DIMENSIONS)

    def add(self, first: int, rows: np.ndarray) -> None:
        numbers = range(first, first + len(rows))
        self.index.add([self.moment(i, i * SECOND, 'front') for i in numbers], rows)

    def search(self, row: np.ndarray, since: int, until: int) -> list[int]:
        return [each.moment.number for each in self.index.search(row, COUNT, since, until)]

    def remove(self, since: int, until: int) -> None:
        self.index.remove(since, until)

    def count(self) -> int:
        return self.index.count()

    def needle(self, row: np.ndarray) -> bytes:
        from streamvlm_ros.search.blocks import quantize

        return quantize(row[None])[1].tobytes()

    def close(self) -> None:
        self.index.close()


class SqliteRows:
    """An ordinary table with an index on stamps; sqlite-vec only computes distances."""

    def __init__(self, folder: pathlib.Path) -> None:
        import apsw
        import sqlite_vec

        self.base = apsw.Connection(str(folder / 'index.db'))
        self.base.enable_load_extension(True)
        self.base.load_extension(sqlite_vec.loadable_path())
        self.base.execute(
            'pragma page_size=8192; pragma journal_mode=wal;'
            'pragma synchronous=normal; pragma secure_delete=on;'
            'pragma cache_size=-65536'
        )
        self.create()

    def create(self) -> None:
        self.base.execute(
            'create table if not exists moments('
            'id integer primary key, stamp integer, vector blob);'
            'create index if not exists stamps on moments(stamp)'
        )

    def add(self, first: int, rows: np.ndarray) -> None:
        with self.base:
            self.base.executemany(
                'insert into moments values(?, ?, ?)',
                (
                    (first + i, (first + i) * SECOND, row.tobytes())
                    for i, row in enumerate(small(rows))
                ),
            )

    def search(self, row: np.ndarray, since: int, until: int) -> list[int]:
        return [
            found
            for (found,) in self.base.execute(
                'select id from moments where stamp between ? and ? '
                'order by vec_distance_cosine(vec_int8(vector), vec_int8(?)) limit ?',
                (since, until, small(row).tobytes(), COUNT),
            )
        ]

    def remove(self, since: int, until: int) -> None:
        with self.base:
            self.base.execute('delete from moments where stamp between ? and ?', (since, until))
        self.base.execute('pragma wal_checkpoint(truncate)')

    def count(self) -> int:
        [(count,)] = self.base.execute('select count(*) from moments')
        return int(count)

    def needle(self, row: np.ndarray) -> bytes:
        return small(row).tobytes()

    def close(self) -> None:
        self.base.close()


class SqliteVec(SqliteRows):
    """sqlite-vec's own table vec0, int8."""

    def create(self) -> None:
        self.base.execute(
            'create virtual table if not exists moments using vec0(id integer primary key, '
            'stamp integer, vector int8[512] distance_metric=cosine)'
        )

    def add(self, first: int, rows: np.ndarray) -> None:
        with self.base:
            self.base.executemany(
                'insert into moments(id, stamp, vector) values(?, ?, vec_int8(?))',
                (
                    (first + i, (first + i) * SECOND, self.needle(row))
                    for i, row in enumerate(rows)
                ),
            )

    def search(self, row: np.ndarray, since: int, until: int) -> list[int]:
        return [
            found
            for (found,) in self.base.execute(
                'select id from moments where vector match vec_int8(?) and k = ? '
                'and stamp between ? and ?',
                (self.needle(row), COUNT, since, until),
            )
        ]


class Usearch:
    """An HNSW graph of int8 in memory, written as a whole; stamps are the keys."""

    def __init__(self, folder: pathlib.Path) -> None:
        from usearch.index import Index

        self.path = folder / 'index.usearch'
        self.index = Index(ndim=DIMENSIONS, metric='cos', dtype='i8')
        if self.path.exists():
            self.index.load(str(self.path))
        self.since = 0

    def add(self, first: int, rows: np.ndarray) -> None:
        self.index.add(np.arange(first, first + len(rows)), rows, threads=2)
        self.since += len(rows)
        if self.since >= 50_000:
            self.save()

    def save(self) -> None:
        self.since = 0
        self.index.save(str(self.path) + '.new')
        os.replace(str(self.path) + '.new', self.path)

    def search(self, row: np.ndarray, since: int, until: int) -> list[int]:
        # There is no filter in Python: more are fetched until enough are in the range.
        count = COUNT
        while True:
            keys = self.index.search(row, count).keys
            good = [int(key) for key in keys if since <= int(key) * SECOND <= until]
            if len(good) >= COUNT or count >= len(self.index) or count > 100_000:
                return good[:COUNT]
            count *= 4

    def remove(self, since: int, until: int) -> None:
        self.index.remove(np.arange(-(-since // SECOND), until // SECOND + 1))
        self.save()

    def count(self) -> int:
        return len(self.index)

    def needle(self, row: np.ndarray) -> bytes:
        return np.clip(np.trunc(row * 127), -127, 127).astype(np.int8).tobytes()

    def close(self) -> None:
        self.save()


class Lance:
    """LanceDB, a table of columns; an index of inverted lists is built at the end."""

    def __init__(self, folder: pathlib.Path) -> None:
        import lancedb
        import pyarrow

        self.pa = pyarrow
        schema = pyarrow.schema(
            [
                ('id', pyarrow.int64()),
                ('stamp', pyarrow.int64()),
                ('vector', pyarrow.list_(pyarrow.float16(), DIMENSIONS)),
            ]
        )
        base = lancedb.connect(str(folder / 'lance'))
        self.table = base.create_table('moments', schema=schema, exist_ok=True)

    def add(self, first: int, rows: np.ndarray) -> None:
        ids = np.arange(first, first + len(rows))
        flat = self.pa.array(rows.astype(np.float16).ravel())
        self.table.add(
            self.pa.table(
                {
                    'id': ids,
                    'stamp': ids * SECOND,
                    'vector': self.pa.FixedSizeListArray.from_arrays(flat, DIMENSIONS),
                }
            )
        )

    def search(self, row: np.ndarray, since: int, until: int) -> list[int]:
        found = (
            self.table.search(row)
            .distance_type('cosine')
            .where(f'stamp >= {since} and stamp <= {until}', prefilter=True)
            .select(['id'])
            .limit(COUNT)
            .to_arrow()
        )
        return found['id'].to_pylist()

    def remove(self, since: int, until: int) -> None:
        import datetime

        self.table.delete(f'stamp >= {since} and stamp <= {until}')
        self.table.optimize(cleanup_older_than=datetime.timedelta(0), delete_unverified=True)

    def count(self) -> int:
        return self.table.count_rows()

    def needle(self, row: np.ndarray) -> bytes:
        return row.astype(np.float16).tobytes()

    def close(self) -> None:
        pass


class Milvus:
    """Milvus Lite, a server's interface in the process."""

    def __init__(self, folder: pathlib.Path) -> None:
        from pymilvus import DataType, MilvusClient

        self.client = MilvusClient(str(folder / 'milvus.db'))
        if not self.client.has_collection('moments'):
            schema = self.client.create_schema(auto_id=False)
            schema.add_field('id', DataType.INT64, is_primary=True)
            schema.add_field('stamp', DataType.INT64)
            schema.add_field('vector', DataType.FLOAT_VECTOR, dim=DIMENSIONS)
            index = self.client.prepare_index_params()
            index.add_index('vector', index_type='FLAT', metric_type='COSINE')
            self.client.create_collection('moments', schema=schema, index_params=index)
        self.client.load_collection('moments')

    def add(self, first: int, rows: np.ndarray) -> None:
        self.client.insert(
            'moments',
            [
                {'id': first + i, 'stamp': (first + i) * SECOND, 'vector': row}
                for i, row in enumerate(rows)
            ],
        )

    def search(self, row: np.ndarray, since: int, until: int) -> list[int]:
        [found] = self.client.search(
            'moments', [row], limit=COUNT, filter=f'stamp >= {since} and stamp <= {until}'
        )
        return [hit['id'] for hit in found]

    def remove(self, since: int, until: int) -> None:
        self.client.delete('moments', filter=f'stamp >= {since} and stamp <= {until}')
        self.client.flush('moments')

    def count(self) -> int:
        return self.client.query('moments', output_fields=['count(*)'])[0]['count(*)']

    def needle(self, row: np.ndarray) -> bytes:
        return row.astype(np.float32).tobytes()

    def close(self) -> None:
        self.client.flush('moments')
        self.client.close()


ENGINES: dict[str, Callable[[pathlib.Path], Engine]] = {
    'streamvlm': Streamvlm,
    'sqlite_rows': SqliteRows,
    'sqlite_vec': SqliteVec,
    'usearch': Usearch,
    'lancedb': Lance,
    'milvus_lite': Milvus,
}
