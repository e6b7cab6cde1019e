# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The index in Milvus: a server that several robots share, or its embedded form, Milvus Lite."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
import contextlib
import hashlib
import json
from types import TracebackType
from typing import Any, NoReturn

import numpy as np

from streamvlm_ros.errors import ErrorCode, StreamError
from streamvlm_ros.search.moments import (
    check_moments,
    check_search,
    check_span,
    check_stream,
    Found,
    MAX_STREAM,
    Moment,
)

PREFIX = 'streamvlm_'
BATCH = 1000  # moments of one request
ANSWERS = 16_000  # rows of one answer; Milvus gives at most 16,384
# What a search sees: all that was added before, by any client.
CONSISTENCY = 'Strong'


class MilvusMomentIndex:
    """See ``MomentIndex``; it has one collection for each fingerprint.

    Robots that have the same model share a collection, and are asked together; their streams need
    names of their own. The vectors of another model stay, for robots that still use it.

    Attributes:
        dimensions: numbers of a vector.

    """

    def __init__(self, uri: str, fingerprint: str, dimensions: int, token: str = '') -> None:
        """Connect, and make the collection if it is not there.

        Args:
            uri: of a server, 'http://host:19530', or the path of a file that ends in .db for
                Milvus Lite.
            fingerprint: of what makes the vectors.
            dimensions: numbers of a vector.
            token: 'user:password', if the server asks for it.

        Raises:
            StreamError: INVALID_REQUEST; pymilvus is not installed.  FILE_ERROR; the server does
                not answer, or refuses.

        """
        try:
            from pymilvus import DataType, MilvusClient
        except ImportError:
            raise StreamError(
                ErrorCode.INVALID_REQUEST,
                'The index in Milvus needs a package that is not installed; '
                "install it: pip install 'streamvlm_ros[milvus]'.",
            ) from None
        self.dimensions, self._uri = dimensions, uri
        made_by = f'{fingerprint} {dimensions}'
        self._name = PREFIX + hashlib.sha256(made_by.encode()).hexdigest()[:16]
        with self._faults():
            self._client: Any = MilvusClient(uri, token=token)
            if not self._client.has_collection(self._name):
                schema = self._client.create_schema(auto_id=False, description=made_by)
                schema.add_field('key', DataType.VARCHAR, is_primary=True, max_length=2048)
                schema.add_field('stream', DataType.VARCHAR, max_length=4 * MAX_STREAM)
                schema.add_field('number', DataType.INT64)
                schema.add_field('stamp', DataType.INT64)
                schema.add_field('vector', DataType.FLOAT_VECTOR, dim=dimensions)
                index = self._client.prepare_index_params()
                index.add_index('vector', index_type='FLAT', metric_type='IP')
                self._client.create_collection(
                    self._name, schema=schema, index_params=index, consistency_level=CONSISTENCY
                )
            self._client.load_collection(self._name)

    def add(self, moments: Sequence[Moment], vectors: np.ndarray) -> int:
        """See ``MomentIndex``; all or none of each 1,000."""
        vectors = check_moments(moments, vectors, self.dimensions)
        added = 0
        for start in range(0, len(moments), BATCH):
            rows = {
                f'{moment.stream}/{moment.number}': {
                    'key': f'{moment.stream}/{moment.number}',
                    'stream': moment.stream,
                    'number': moment.number,
                    'stamp': moment.stamp_ns,
                    'vector': vector,
                }
                for moment, vector in zip(
                    moments[start : start + BATCH], vectors[start : start + BATCH]
                )
            }
            with self._faults():
                there = self._connected().get(self._name, list(rows), output_fields=['key'])
                known = {row['key'] for row in there}
                new = [row for key, row in rows.items() if key not in known]
                if new:
                    added += int(self._connected().insert(self._name, new)['insert_count'])
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
        with self._faults():
            [hits] = self._connected().search(
                self._name,
                [vector],
                limit=count,
                filter=_filter(since_ns, until_ns, streams),
                output_fields=['stream', 'number', 'stamp'],
            )
        return [
            Found(
                Moment(hit['entity']['number'], hit['entity']['stamp'], hit['entity']['stream']),
                float(hit['distance']),
            )
            for hit in hits
        ]

    def known(self, stream: str, since_ns: int = 0, until_ns: int = 0) -> set[int]:
        """See ``MomentIndex``."""
        numbers: set[int] = set()
        with self._faults():
            rows = self._connected().query_iterator(
                self._name,
                batch_size=ANSWERS,
                filter=_filter(since_ns, until_ns, [stream]),
                output_fields=['number'],
            )
            while found := rows.next():
                numbers.update(row['number'] for row in found)
            rows.close()
        return numbers

    def remove(self, since_ns: int = 0, until_ns: int = 0, streams: Collection[str] = ()) -> int:
        """See ``MomentIndex``.

        Milvus hides them at once, and overwrites their bytes when it compacts its files.
        """
        chosen = _filter(since_ns, until_ns, streams)
        with self._faults():
            before = self._count(chosen)
            self._connected().delete(self._name, filter=chosen)
            self._connected().flush(self._name)
            return before - self._count(chosen)

    def count(self) -> int:
        """See ``MomentIndex``."""
        with self._faults():
            return self._count('')

    def close(self) -> None:
        """See ``MomentIndex``."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def __enter__(self) -> MilvusMomentIndex:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _count(self, chosen: str) -> int:
        [row] = self._connected().query(self._name, filter=chosen, output_fields=['count(*)'])
        return int(row['count(*)'])

    def _connected(self) -> Any:
        if self._client is None:
            self._refuse('was closed')
        return self._client

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Raise Milvus's own errors as those of a file."""
        try:
            yield
        except StreamError:
            raise
        except Exception as error:
            self._refuse(f'cannot be used: {error}; look at the server and at its address')

    def _refuse(self, wrong: str) -> NoReturn:
        raise StreamError(ErrorCode.FILE_ERROR, f'The index {self._uri} {wrong}.')


def _filter(since_ns: int, until_ns: int, streams: Collection[str]) -> str:
    """Return a span and streams as an expression of Milvus."""
    since_ns, until_ns = check_span(since_ns, until_ns)
    chosen = f'stamp >= {since_ns} and stamp <= {until_ns}'
    if not streams:
        return chosen
    names = json.dumps([check_stream(stream) for stream in streams], ensure_ascii=False)
    return f'{chosen} and stream in {names}'
