# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The index in Milvus, in its embedded form, does what the one in a file does."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

from streamvlm_ros.errors import ErrorCode, StreamError
from streamvlm_ros.search.milvus_index import MilvusMomentIndex
from streamvlm_ros.search.moments import Moment
from streamvlm_ros.search.opening import open_index
from streamvlm_ros.search.sqlite_index import SqliteMomentIndex

SECOND = 10**9
WIDTH = 16
installed = pytest.mark.skipif(
    importlib.util.find_spec('milvus_lite') is None,
    reason='milvus-lite is not installed: pip install pymilvus milvus-lite',
)


def moments(numbers, stream: str) -> list[Moment]:
    return [Moment(number, number * SECOND, stream) for number in numbers]


@installed
def test_it_answers_as_the_index_in_a_file(tmp_path):
    rows = np.random.default_rng(0).standard_normal((1400, WIDTH)).astype(np.float32)
    answers, scores = [], []
    for where in ('index.db', 'milvus.db'):
        path = str(tmp_path / where)
        address = 'milvus:' + path if where == 'milvus.db' else path
        with open_index(address, 'model-a', WIDTH) as index:
            told = [
                index.add(moments(range(1200), 'robot1/front'), rows[:1200]),
                index.add(moments(range(1190, 1210), 'robot1/front'), rows[:20]),
                index.add(moments(range(190), 'robot2/front'), rows[1200:1390]),
                index.count(),
                index.known('robot1/front', 5 * SECOND, 9 * SECOND),
            ]
            for vector in rows[1390:]:
                for span in ((0, 0), (100 * SECOND, 150 * SECOND)):
                    for streams in ((), ['robot2/front']):
                        found = index.search(vector, 5, *span, streams)
                        assert [e.score for e in found] == sorted(
                            (e.score for e in found), reverse=True
                        )
                        # In a byte a number, those that are nearly as near can change places.
                        scores.append(found[0].score)
                        assert {each.moment.stream for each in found} <= {
                            *(streams or ['robot1/front', 'robot2/front'])
                        }
                        assert not span[0] or all(
                            span[0] <= each.moment.stamp_ns <= span[1] for each in found
                        )
            told += [
                index.remove(0, 99 * SECOND, ['robot2/front']),
                index.known('robot2/front') == set(range(100, 190)),
                index.search(rows[0], 5, 5000 * SECOND),
            ]
        with open_index(address, 'model-a', WIDTH) as index:
            told.append(index.count())
        with open_index(address, 'model-b', WIDTH) as index:
            told.append(index.count())
        answers.append(told)
    assert answers[0] == answers[1]
    half = len(scores) // 2
    assert scores[:half] == pytest.approx(scores[half:], abs=0.2)


@installed
def test_what_is_wrong_is_a_sentence(tmp_path):
    with MilvusMomentIndex(str(tmp_path / 'milvus.db'), 'model-a', WIDTH) as index:
        with pytest.raises(StreamError, match='takes \\[1, 16\\]'):
            index.add(moments([1], 'a'), np.zeros((1, 8)))
        assert index.search(np.ones(WIDTH), 3) == []
    with pytest.raises(StreamError, match='was closed') as caught:
        index.count()
    assert caught.value.code is ErrorCode.FILE_ERROR
    with pytest.raises(StreamError, match='look at the server and at its address'):
        MilvusMomentIndex('http://127.0.0.1:9', 'model-a', WIDTH)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pymilvus', None)
    with pytest.raises(StreamError, match=r"pip install 'streamvlm_ros\[milvus\]'") as caught:
        open_index('http://robots:19530', 'model-a', WIDTH)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


def test_a_path_is_a_file(tmp_path):
    with open_index(tmp_path / 'index.db', 'model-a', WIDTH) as index:
        assert isinstance(index, SqliteMomentIndex)
