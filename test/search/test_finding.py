# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The index is filled from frames, and what it proposes is looked at."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from streamvlm_ros.errors import ErrorCode, StreamError
from streamvlm_ros.search.filling import IndexFiller
from streamvlm_ros.search.finder import Finder
from streamvlm_ros.search.moments import Moment
from streamvlm_ros.search.sqlite_index import SqliteMomentIndex

SECOND = 10**9
START = 1000


class Colours:
    """An embedder whose vectors are the mean colour; it counts what it was given."""

    fingerprint = 'colours'
    dimensions = 3

    def __init__(self) -> None:
        self.made = 0

    def pictures(self, frames) -> np.ndarray:
        self.made += 1
        return np.mean([frame.mean((0, 1)) for frame in frames], axis=0, dtype=np.float32) - 50

    def question(self, question: str) -> np.ndarray:
        return np.array(['red' in question, 'green' in question, 'blue' in question], np.float32)


class Film:
    """Two frames a second for a minute: red at 10 to 12 s and at 40 s, grey otherwise, a gap."""

    oldest_stamp_ns = START * SECOND

    def frames(self, since_ns, until_ns, count):
        found = []
        for half in range(120):
            stamp_ns = START * SECOND + half * SECOND // 2
            second = half // 2
            if since_ns <= stamp_ns <= until_ns and not 20 <= second < 30:
                colour = (200, 0, 0) if second in (10, 11, 12, 40) else (60, 60, 60)
                found.append((stamp_ns, np.full((4, 4, 3), colour, np.uint8)))
        return found[:count]


@pytest.fixture
def index(tmp_path):
    with SqliteMomentIndex(tmp_path / 'index.db', 'colours', 3) as index:
        yield index


def test_only_what_is_missing_is_made(index):
    embedder = Colours()
    filler = IndexFiller(index, embedder, Film(), 'front')
    assert filler.fill((START + 30) * SECOND, (START + 59) * SECOND) == 30
    assert filler.fill(0, (START + 59) * SECOND) == 20
    assert filler.fill(0, (START + 59) * SECOND) == 0
    assert embedder.made == filler.added == index.count() == 50
    numbers = index.known('front')
    assert numbers == {*range(START, START + 20), *range(START + 30, START + 60)}


def test_it_is_filled_in_the_background_and_stops_when_it_is_closed(index):
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Colours):
        def pictures(self, frames) -> np.ndarray:
            begun.set()
            assert go_on.wait(60)
            return super().pictures(frames)

    with IndexFiller(index, Slow(), Film(), 'front') as filler:
        filler.start(0, (START + 59) * SECOND)
        assert begun.wait(60)
        assert not filler.wait(0.0)
        threading.Thread(target=go_on.set).start()
        assert filler.wait(60)
    assert index.count() == 50
    index.remove()
    begun.clear()
    go_on.clear()
    filler = IndexFiller(index, Slow(), Film(), 'front')
    filler.start(0, (START + 59) * SECOND)
    assert begun.wait(60)
    filler._stopped.set()
    go_on.set()
    filler.close()
    assert index.count() == 1


def test_a_fault_ends_the_filling_and_is_kept(index, caplog):
    filler = IndexFiller(index, Colours(), Film(), 'front')
    index.close()
    filler.start(0, (START + 59) * SECOND)
    assert not filler.wait(60)
    assert isinstance(filler.error, StreamError)
    assert 'is not filled: The index' in caplog.text


def test_what_holds_when_looked_at_is_found_the_rest_is_not_seen(index):
    embedder = Colours()
    IndexFiller(index, embedder, Film(), 'front').fill(0, (START + 59) * SECOND)
    asked: list[tuple[str, int]] = []

    def look(question: str, moment: Moment) -> float:
        asked.append((question, moment.number - START))
        return {10: 0.9, 11: 0.97, 40: 0.8}.get(moment.number - START, 0.2) * ('red' in question)

    finder = Finder(index, embedder, look)
    finding = finder.find('a red ball', max_looks=6)
    assert finding.looks == len(asked) == 6
    assert {number for _, number in asked[:4]} == {10, 11, 12, 40}
    assert asked[0][0] == 'Have you seen a red ball?'
    assert [each.moment.number - START for each in finding.sightings] == [11, 10, 40]
    assert finding.last.moment.number == START + 40
    assert finding.first.moment.number == START + 10
    early = finder.find('a red ball', until_ns=(START + 30) * SECOND)
    assert early.last.moment.number == START + 11
    none = finder.find('a green ball')
    assert (none.seen, none.sightings, none.last, none.looks) == (False, (), None, 50)
    for what in ('', ' ', 7):
        with pytest.raises(StreamError) as caught:
            finder.find(what)
        assert caught.value.code is ErrorCode.INVALID_REQUEST
