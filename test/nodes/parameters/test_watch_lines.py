# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Standing questions as lines of text."""

from __future__ import annotations

import pytest

from streamvlm_ros.nodes.parameters.parameter import ParameterError
from streamvlm_ros.nodes.parameters.watch_lines import parse_watches
from streamvlm_ros.view import View


def test_lines() -> None:
    text = """
    # what the robot has to know
    door | Is the door open? | yes, no

    lift|Which way does it go?|up, down, nowhere|hold 3 | threshold 0.8
    light | Is it on? | yes, no | view now
    """
    assert parse_watches(text) == [
        {'name': 'door', 'question': 'Is the door open?', 'choices': ('yes', 'no')},
        {
            'name': 'lift',
            'question': 'Which way does it go?',
            'choices': ('up', 'down', 'nowhere'),
            'hold': 3,
            'threshold': 0.8,
        },
        {
            'name': 'light',
            'question': 'Is it on?',
            'choices': ('yes', 'no'),
            'view': View('now'),
        },
    ]
    assert parse_watches('') == []


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('door', "The watch 'door' is not of the form 'name | question | choice, choice'."),
        ('door | Is it open?', 'is not of the form'),
        (' | Is it open? | yes, no', 'is not of the form'),
        ('a | Is it? | yes, no\na | Is it? | yes, no', "The watch 'a' is there twice"),
        ('a | Is it? | yes, no | hold two', "has 'hold two' after its choices"),
        ('a | Is it? | yes, no | view then', "has 'view then' after its choices"),
        ('a | Is it? | yes, no | keep 2', "has 'keep 2' after its choices"),
    ],
)
def test_refused(text: str, sentence: str) -> None:
    with pytest.raises(ParameterError) as refused:
        parse_watches(text)
    assert sentence in str(refused.value)
