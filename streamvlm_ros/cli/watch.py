# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Let a running node watch an answer, and print every change of it until Ctrl-C."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from streamvlm_ros import interrupts
from streamvlm_ros.cli.calls import add_node_arguments, add_view_arguments, connect, view_fields
from streamvlm_ros.errors import CommandError
from streamvlm_ros.stamps import NANOSECONDS

if TYPE_CHECKING:
    from streamvlm_ros.client.outputs import WatchEvent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument('question')
    parser.add_argument('choices', nargs='+', metavar='CHOICE', help='2 to 26 answers')
    parser.add_argument('--name', default='', help='the name of its events')
    parser.add_argument(
        '--threshold', type=float, default=0.7, help='probability of a new answer (%(default)s)'
    )
    parser.add_argument(
        '--hold', type=int, default=2, help='for this many chunks in a row (%(default)s)'
    )
    parser.add_argument('--count', type=int, default=0, help='end after this many changes')
    parser.add_argument('--keep', action='store_true', help='leave the watch in the node')
    add_view_arguments(parser)
    add_node_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Add the watch, print its events, and remove it at the end; needs ROS."""
    if not 1 <= arguments.hold < 2**32:
        raise CommandError('--hold is a number of chunks, 1 or more.')
    with (
        connect(arguments.node) as robot,
        interrupts.deferred(),
        robot.watch(
            arguments.question,
            arguments.choices,
            name=arguments.name,
            threshold=arguments.threshold,
            hold=arguments.hold,
            keep=arguments.keep,
            **view_fields(robot, arguments),
        ) as watch,
    ):
        for printed, event in enumerate(watch, 1):
            print(_line(event, arguments.json), flush=True)
            if printed == arguments.count:
                break
    return 0


def _line(event: WatchEvent, as_json: bool) -> str:
    since = event.since_ns / NANOSECONDS
    if as_json:
        return json.dumps(
            {
                'name': event.name,
                'choice': event.choice,
                'previous': event.previous,
                'probability': round(event.probability, 6),
                'since': since,
                'stamp': event.stamp_ns / NANOSECONDS,
                'epoch': event.epoch,
            }
        )
    before = f' (before: {event.previous})' if event.previous else ''
    return f'{since:.3f} {event.name}: {event.choice} {event.probability:.0%}{before}'
