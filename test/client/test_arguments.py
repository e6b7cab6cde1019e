# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the client refuses or finds out without a node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip('rclpy', reason='rclpy is not installed: run make test')
pytest.importorskip('streamvlm_ros.msg', reason='the interfaces are not built: run make test')

import rclpy
from rclpy.context import Context

from streamvlm_ros.client import (
    InvalidRequestError,
    NodeNotFoundError,
    NotActiveError,
    StreamClient,
)

QUESTION, CHOICES = 'What is there?', ['left', 'right']


@pytest.fixture
def robot(domain: int) -> Iterator[StreamClient]:
    with StreamClient('/streamvlm') as robot:
        yield robot


IMPOSSIBLE = [
    (lambda robot: robot.ask(5), 'question is a text, not 5.'),
    (lambda robot: robot.ask('\ud800'), 'question has characters that are no Unicode text'),
    (lambda robot: robot.ask('What?', after=12.5), 'whole nanoseconds from 0 to .*not 12.5'),
    (lambda robot: robot.ask('What?', after=-1), 'after is a header stamp'),
    (lambda robot: robot.ask('What?', after=2**62), 'after is a header stamp'),
    (lambda robot: robot.ask('What?', timeout=float('nan')), 'timeout is a number of seconds'),
    (lambda robot: robot.ask('What?', timeout=-1.0), 'timeout is a number of seconds'),
    (lambda robot: robot.ask('What?', max_new_tokens=-1), 'from 0 to 4294967295, not -1'),
    (lambda robot: robot.ask('What?', sample=1), r'sample is 1 \(int\); give True or False.'),
    (lambda robot: robot.ask('What?', seed=-1), 'seed is -1; give a whole number'),
    (lambda robot: robot.ask('What?', top_p=float('nan')), 'top_p is nan; give 0 to 1'),
    (lambda robot: robot.ask('What?', temperature=1e9), 'temperature is 1000000000.0; give'),
    (lambda robot: robot.ask('What?', max_new_tokens=2.0), 'a whole number'),
    (lambda robot: robot.ask_choice('Which?', 'left right'), 'choices is a list of texts'),
    (lambda robot: robot.ask_choice('Which?', ['left', 2]), 'each of choices is a text'),
    (lambda robot: robot.watch('Which?', CHOICES, hold=0), 'hold is a whole number from 1'),
    (lambda robot: robot.watch('Which?', CHOICES, threshold=float('nan')), 'threshold is a'),
    (lambda robot: robot.watch('Which?', CHOICES, view='then'), "The view is 'then'"),
    (lambda robot: robot.ask('What?', view='then'), 'choose one of memory, now, memory_and_now'),
    (lambda robot: robot.ask('What?', view=1), 'view is a text, not 1.'),
    (lambda robot: robot.ask('What?', view='now', since=5), "choose the view 'span', or leave"),
    (
        lambda robot: robot.ask('What?', since=7, until=5),
        'The span ends at 5 ns, before it begins',
    ),
    (lambda robot: robot.ask_choice('Which?', CHOICES, until=-1), 'until is a header stamp'),
    (lambda robot: robot.ask('What?', return_frames=1), 'return_frames is True or False, not 1'),
    (lambda robot: robot.save(None), 'path is a text, not None.'),
    (lambda robot: StreamClient('/a b'), "'/a b' is not the name of a node"),
    (lambda robot: StreamClient(''), "'' is not the name of a node"),
]


def test_an_impossible_argument_is_told_at_once(robot: StreamClient) -> None:
    for wrong, sentence in IMPOSSIBLE:
        with pytest.raises(InvalidRequestError, match=sentence):
            wrong(robot)
    with pytest.raises(TypeError, match="unexpected keyword argument 'temprature'"):
        robot.ask('What?', temprature=1.0)


def test_a_relative_name_begins_at_the_nodes_namespace(domain: int) -> None:
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node('driver', context=context, namespace='/front')
    with StreamClient('streamvlm', node=node) as robot:
        assert robot.target == '/front/streamvlm'
    rclpy.shutdown(context=context)


def test_no_node(domain: int) -> None:
    with (
        StreamClient('/nobody') as robot,
        pytest.raises(NodeNotFoundError, match='No node serves /nobody/ask; start one with'),
    ):
        robot.ask(QUESTION)
    with pytest.raises(NotActiveError, match='The client is closed'):
        robot.ask(QUESTION)
    with pytest.raises(NotActiveError, match='The client is closed'):
        robot.watch('Which?', CHOICES)
