# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The index of moments in a file: nearest, spans, forgetting, faults, and a process killed."""

from __future__ import annotations

import pathlib
import signal
import sqlite3
import subprocess
import sys
import threading

import numpy as np
import pytest

from streamvlm_ros.errors import ErrorCode, StreamError
from streamvlm_ros.search.blocks import BLOCK, quantize
from streamvlm_ros.search.moments import Moment
from streamvlm_ros.search.sqlite_index import SqliteMomentIndex

SECOND = 10**9
WIDTH = 16


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32)


def moments(numbers, stream: str = 'front') -> list[Moment]:
    return [Moment(number, number * SECOND, stream) for number in numbers]


@pytest.fixture
def path(tmp_path) -> pathlib.Path:
    return tmp_path / 'index.db'


@pytest.fixture
def index(path):
    with SqliteMomentIndex(path, 'model-a', WIDTH) as index:
        yield index


def nearest(rows: np.ndarray, vector: np.ndarray, allowed: np.ndarray, count: int) -> list[int]:
    scales, small = quantize(rows)
    scores = small.astype(np.float32) @ vector * scales
    order = [i for i in np.argsort(-scores, kind='stable') if allowed[i]]
    return [int(i) for i in order[:count]]


def numbers(found) -> list[int]:
    return [each.moment.number for each in found]


def test_the_nearest_of_a_span_are_found_in_blocks_and_rows_alike(index):
    count = 2 * BLOCK + 300
    rows, wanted = vectors(count), vectors(1, 1)[0]
    for start in range(0, count, 700):
        part = range(start, min(start + 700, count))
        assert index.add(moments(part), rows[part.start : part.stop]) == len(part)
    assert index.count() == count
    for since, until in ((0, 0), (100, 1500), (BLOCK, BLOCK), (2 * BLOCK + 5, 2 * BLOCK + 80)):
        allowed = (np.arange(count) >= since) & (np.arange(count) <= (until or count))
        found = index.search(wanted, 50, since * SECOND, until * SECOND)
        assert numbers(found) == nearest(rows, wanted, allowed, 50)
        assert [each.score for each in found] == sorted((e.score for e in found), reverse=True)
        assert index.known('front', since * SECOND, until * SECOND) == set(
            np.flatnonzero(allowed).tolist()
        )
    # A byte a number is near what was added.
    assert found[0].score == pytest.approx(float(rows[found[0].moment.number] @ wanted), abs=0.15)


def test_streams_are_asked_together_or_alone(index):
    rows = vectors(40)
    index.add(moments(range(20), 'a/front'), rows[:20])
    index.add(moments(range(20), 'b/front'), rows[20:])
    found = index.search(rows[25], 3)
    assert found[0].moment == Moment(5, 5 * SECOND, 'b/front')
    alone = index.search(rows[25], 20, streams=['a/front'])
    assert {each.moment.stream for each in alone} == {'a/front'}
    assert len(alone) == 20
    assert index.known('a/front') == set(range(20))
    assert index.remove(streams=['a/front']) == 20
    assert index.count() == 20


def test_a_moment_that_is_there_stays_as_it_is(index):
    rows = vectors(BLOCK + 10)
    index.add(moments(range(BLOCK)), rows[:BLOCK])
    index.add(moments(range(BLOCK, BLOCK + 5)), rows[BLOCK : BLOCK + 5])
    again = moments(range(BLOCK - 5, BLOCK + 10))
    assert index.add(again, vectors(15, 9)) == 5
    assert index.count() == BLOCK + 10
    [found] = index.search(rows[BLOCK - 1], 1)
    assert found.score == pytest.approx(float(rows[BLOCK - 1] @ rows[BLOCK - 1]), rel=0.02)


def test_what_is_removed_is_in_no_file(index, path):
    rows = vectors(BLOCK + 100)
    index.add(moments(range(len(rows))), rows)
    _, small = quantize(rows)
    needles = {number: small[number].tobytes() for number in (50, BLOCK + 40, 300)}

    def there(number: int) -> bool:
        return any(needles[number] in file.read_bytes() for file in path.parent.iterdir())

    assert all(map(there, needles))
    assert index.remove(40 * SECOND, 60 * SECOND) == 21
    assert index.remove((BLOCK + 30) * SECOND, (BLOCK + 50) * SECOND) == 21
    assert [there(number) for number in needles] == [False, False, True]
    assert index.known('front') == set(range(len(rows))) - set(range(40, 61)) - set(
        range(BLOCK + 30, BLOCK + 51)
    )
    index.close()
    assert [there(number) for number in needles] == [False, False, True]


def test_forgetting_while_another_process_reads_says_that_bytes_are_left(index, path):
    index.add(moments(range(5)), vectors(5))
    index._file._base.execute('pragma busy_timeout = 50')
    reader = sqlite3.connect(path)
    reader.execute('begin')
    assert reader.execute('select count(*) from recent').fetchone() == (5,)
    with pytest.raises(StreamError, match='another process reads the index') as caught:
        index.remove()
    assert caught.value.code is ErrorCode.BUSY
    reader.close()
    assert index.remove() == 0
    assert index.count() == 0


def test_vectors_of_another_model_are_removed_and_those_of_the_same_stay(path):
    with SqliteMomentIndex(path, 'model-a', WIDTH) as index:
        assert not index.emptied
        index.add(moments(range(3)), vectors(3))
    with SqliteMomentIndex(path, 'model-a', WIDTH) as index:
        assert (index.emptied, index.count()) == (False, 3)
        with SqliteMomentIndex(path, 'model-a', WIDTH, read_only=True) as tool:
            assert tool.count() == 3
            with pytest.raises(StreamError, match='readonly'):
                tool.add(moments([7]), vectors(1))
    with pytest.raises(StreamError, match='has vectors of model-a, and model-b'):
        SqliteMomentIndex(path, 'model-b', WIDTH, read_only=True)
    with SqliteMomentIndex(path, 'model-b', 2 * WIDTH) as index:
        assert (index.emptied, index.count()) == (True, 0)


@pytest.mark.parametrize(
    ('spoil', 'sentence'),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:20000]), 'is damaged'),
        (lambda path: path.write_bytes(b'not a database' * 100), 'is damaged'),
        (lambda path: path.write_bytes(bytes(50)), 'is damaged'),
        (
            lambda path: sqlite3.connect(path).execute('pragma user_version = 7'),
            'has version 7 and not 1; delete it',
        ),
        (
            lambda path: sqlite3.connect(path, isolation_level=None).execute(
                "update blocks set vectors = x'00'"
            ),
            'is damaged',
        ),
    ],
)
def test_a_spoiled_file_is_named(path, spoil, sentence):
    with SqliteMomentIndex(path, 'model-a', WIDTH) as index:
        index.add(moments(range(BLOCK)), vectors(BLOCK))
    spoil(path)
    with (
        pytest.raises(StreamError, match=sentence) as caught,
        SqliteMomentIndex(path, 'model-a', WIDTH) as index,
    ):
        index.search(vectors(1)[0], 5)
    assert caught.value.code is ErrorCode.FILE_ERROR
    assert str(path) in str(caught.value)


def test_a_second_process_is_refused_and_a_closed_index_says_so(index, path, tmp_path):
    with pytest.raises(StreamError, match='is kept by another process'):
        SqliteMomentIndex(path, 'model-a', WIDTH)
    index.close()
    with pytest.raises(StreamError, match='was closed'):
        index.count()
    with pytest.raises(StreamError, match=r'No such file or directory.*choose another folder'):
        SqliteMomentIndex(tmp_path / 'no' / 'index.db', 'model-a', WIDTH)
    with pytest.raises(StreamError, match='is not there'):
        SqliteMomentIndex(tmp_path / 'other.db', 'model-a', WIDTH, read_only=True)


def test_what_cannot_be_is_refused_and_nothing_is_added(index):
    good = moments([1])
    nan = np.full((1, WIDTH), np.nan)
    for sentence, call in {
        'vectors of shape \\[1, 8\\]': lambda: index.add(good, vectors(1)[:, :8]),
        'not finite': lambda: index.add([*good, *moments([2])], np.vstack([vectors(1), nan])),
        'The stream is': lambda: index.add(moments([1], ''), vectors(1)),
        'stamp of a moment is -1': lambda: index.add([Moment(1, -1, 'a')], vectors(1)),
        'number of a moment is -1': lambda: index.add([Moment(-1, 1, 'a')], vectors(1)),
        'has the shape \\[3\\]': lambda: index.search(np.zeros(3), 5),
        'ask for 1 to': lambda: index.search(vectors(1)[0], 0),
        'The span is from 9 to 4': lambda: index.search(vectors(1)[0], 5, 9, 4),
    }.items():
        with pytest.raises(StreamError, match=sentence) as caught:
            call()
        assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert index.count() == 0


WRITER = """
import numpy as np, sys
from streamvlm_ros.search.moments import Moment
from streamvlm_ros.search.sqlite_index import SqliteMomentIndex
index = SqliteMomentIndex(sys.argv[1], 'model-a', 16)
for start in range(0, 10**6, 90):
    numbers = range(start, start + 90)
    index.add([Moment(i, i, 'front') for i in numbers], np.ones((90, 16)))
    print(start + 90, flush=True)
"""


def test_what_was_added_is_there_after_sigkill(path):
    process = subprocess.Popen(
        [sys.executable, '-c', WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = 0
    for line in process.stdout:
        told = int(line)
        if told >= 2000:
            process.send_signal(signal.SIGKILL)
            break
    told = max([told, *(int(line) for line in process.stdout if line.endswith('\n'))])
    process.wait(30)
    with SqliteMomentIndex(path, 'model-a', WIDTH) as index:
        known = index.known('front')
        assert len(known) >= told
        assert known == set(range(len(known))) and len(known) % 90 == 0
        assert index.count() == len(known)


def test_threads_add_and_search_at_once(index):
    faults = []

    def add(stream: str) -> None:
        try:
            for start in range(0, 600, 50):
                part = range(start, start + 50)
                index.add(moments(part, stream), vectors(50, start))
                found = index.search(vectors(1, start)[0], 5, streams=[stream])
                assert found[0].moment.stream == stream
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=add, args=(name,)) for name in ('a', 'b', 'c')]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert index.count() == 1800
