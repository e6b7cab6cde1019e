# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Let a running node watch an answer, and print every change of it until Ctrl-C."""

from __future__ import annotations

import argparse
import json
from typing import Any

from streamvlm_ros import interrupts
from streamvlm_ros.cli.calls import add_node_arguments, load_client_module
from streamvlm_ros.errors import CommandError
from streamvlm_ros.stamps import to_seconds

REMOVE_TIME = 5.0  # seconds for the node to say which watch it has added


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
    add_node_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Add the watch, print its events, and remove it at the end; needs ROS."""
    if not 1 <= arguments.hold < 2**32:
        raise CommandError('--hold is a number of chunks, 1 or more.')
    client = load_client_module()
    with client.Client(arguments.node) as node, interrupts.deferred():
        events = node.events()
        added = _add(node, arguments)
        try:
            _print_events(node, events, added.name, arguments)
        finally:
            if not arguments.keep:
                node.remove_watch(added.name)
    return 0


def _add(node: Any, arguments: argparse.Namespace) -> Any:
    """Add the watch and return the response; after Ctrl-C, remove it again."""
    from streamvlm_ros.srv import AddWatch

    request = AddWatch.Request(
        question=arguments.question,
        choices=arguments.choices,
        name=arguments.name,
        threshold=arguments.threshold,
        hold=arguments.hold,
    )
    asked = node.start_call(AddWatch, 'add_watch', request)
    try:
        added = node.finish_call('add_watch', asked)
    except KeyboardInterrupt:
        # The node may have added it already.
        added = node.finish_call('add_watch', asked, REMOVE_TIME)
        if added.success and not arguments.keep:
            node.remove_watch(added.name)
        raise
    if not added.success:
        raise CommandError(added.error_msg)
    return added


def _print_events(node: Any, events: list[Any], name: str, arguments: argparse.Namespace) -> None:
    printed = 0
    while not arguments.count or printed < arguments.count:
        # A node that has ended will never send another one.
        if not node.wait_until(lambda: bool(events), 1.0) and not node.is_served('add_watch'):
            raise CommandError(f'{arguments.node} has ended; look at its log.')
        while events:
            event = events.pop(0)
            if event.name == name and not (arguments.count and printed >= arguments.count):
                print(_line(event, arguments.json), flush=True)
                printed += 1


def _line(event: Any, as_json: bool) -> str:
    since = to_seconds(event.since)
    probability = float(event.probabilities[event.choice_index])
    if as_json:
        return json.dumps(
            {
                'name': event.name,
                'choice': event.choice,
                'previous': event.previous,
                'probability': round(probability, 6),
                'since': since,
                'stamp': to_seconds(event.header.stamp),
                'epoch': event.epoch,
            }
        )
    before = f' (before: {event.previous})' if event.previous else ''
    return f'{since:.3f} {event.name}: {event.choice} {probability:.0%}{before}'
