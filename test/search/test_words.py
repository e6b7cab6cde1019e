# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Lines are found by their words, and forgotten."""

from __future__ import annotations

import pytest

from streamvlm_ros.errors import ErrorCode, StreamError
from streamvlm_ros.search.moments import Moment
from streamvlm_ros.search.words import WordIndex

SECOND = 10**9
LINES = {
    1: 'A red toolbox stands beside the door.',
    2: 'Two people are carrying boxes.',
    3: 'The door is closed; nobody is here.',
    4: 'The Café has a red sign, and a red lamp.',
    5: 'near the "OR" sign (NOT a door)',
}


def moments(numbers, stream: str = 'front') -> list[Moment]:
    return [Moment(number, number * SECOND, stream) for number in numbers]


@pytest.fixture
def words(tmp_path):
    with WordIndex(tmp_path / 'words.db') as words:
        assert words.add(moments(LINES), list(LINES.values())) == 5
        yield words


def numbers(found) -> list[int]:
    return [each.moment.number for each, _ in found]


def test_lines_are_found_by_their_words(words):
    found = words.search('red toolboxes', 5)
    assert numbers(found) == [1, 4]
    assert found[0][1] == LINES[1]
    assert found[0][0].score > found[1][0].score > 0
    assert numbers(words.search('carry', 5)) == [2]
    assert numbers(words.search('cafe', 5)) == [4]
    assert numbers(words.search('submarine', 5)) == []
    assert set(numbers(words.search('door', 5, 2 * SECOND, 3 * SECOND))) == {3}
    assert len(words.search('door', 1)) == 1
    assert words.search('door', 5, streams=['rear']) == []


@pytest.mark.parametrize('text', ['"OR" sign', 'sign AND (', "sign' or 1=1 --", 'text: sign*'])
def test_no_text_is_an_operator(words, text):
    assert {4, 5} <= set(numbers(words.search(text, 5)))


def test_a_line_stays_as_it_is_and_streams_are_apart(words):
    assert words.add(moments([1, 6]), ['another', 'a new one']) == 1
    assert words.search('toolbox', 5)
    assert words.add(moments([1], 'rear'), ['a toolbox']) == 1
    assert words.search('toolbox', 5, streams=['rear'])[0][0].moment.stream == 'rear'
    assert words.count() == 7


def test_what_is_removed_is_in_no_file(words, tmp_path):
    def there(text: bytes) -> bool:
        return any(text in file.read_bytes().lower() for file in tmp_path.iterdir())

    assert there(b'toolbox') and there(b'people')
    assert words.remove(0, SECOND) == 1
    assert not there(b'toolbox') and there(b'people')
    assert words.search('toolbox', 5) == []
    assert numbers(words.search('door', 5, 2 * SECOND, 4 * SECOND)) == [3]
    assert words.remove(0, SECOND) == 0


def test_what_cannot_be_is_refused(words):
    for sentence, call in {
        'has no word': lambda: words.search('?!', 5),
        'ask for 1 to': lambda: words.search('door', 0),
        'must be a text': lambda: words.search(3, 5),
        'came with 2 lines': lambda: words.add(moments([9]), ['a', 'b']),
        'has 10,001 characters': lambda: words.add(moments([9]), ['a' * 10_001]),
        'The stream is': lambda: words.add(moments([9], ''), ['a']),
    }.items():
        with pytest.raises(StreamError, match=sentence) as caught:
            call()
        assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert words.count() == 5
