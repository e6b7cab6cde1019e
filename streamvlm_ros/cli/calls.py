# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the verbs that call a node share: arguments, the client, and how an answer is printed."""

from __future__ import annotations

import argparse
from decimal import Decimal, InvalidOperation
import json
import pathlib
import re
import sys
from typing import Any, TYPE_CHECKING

from streamvlm_ros.errors import CommandError
from streamvlm_ros.stamps import LAST_STAMP, NANOSECONDS
from streamvlm_ros.view import VIEWS

if TYPE_CHECKING:
    from streamvlm_ros.client.client import StreamClient
    from streamvlm_ros.client.outputs import Answer

UNITS = {'ms': Decimal('0.001'), 's': Decimal(1), 'm': Decimal(60), 'h': Decimal(3600)}
_AGO = re.compile(rf'(\d+(?:\.\d+)?)({"|".join(UNITS)})', re.ASCII)


def add_node_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which node to talk to, and how to print."""
    parser.add_argument('--node', default='/streamvlm', help='name of the node (%(default)s)')
    parser.add_argument('--json', action='store_true', help='print JSON, one object a line')


def add_question_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `ask` and `choose` share."""
    parser.add_argument(
        '--after',
        metavar='SEC',
        default='0',
        help='wait for a frame with this header stamp or newer',
    )
    parser.add_argument(
        '--timeout', metavar='SEC', type=float, default=0.0, help='0: the node decides'
    )
    add_node_arguments(parser)


def add_view_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to look at."""
    group = parser.add_argument_group('what it looks at')
    group.add_argument(
        '--view', choices=VIEWS, default='', help="not given: the node's parameter view"
    )
    group.add_argument(
        '--since',
        metavar='WHEN',
        default='',
        help='begin of a span: a header stamp in seconds, or 90s, 5m, 3h before the newest frame',
    )
    group.add_argument(
        '--until', metavar='WHEN', default='', help='end of a span; not given: the newest frame'
    )


def add_show_argument(parser: argparse.ArgumentParser) -> None:
    """Add where to show the frames."""
    parser.add_argument(
        '--show',
        metavar='FILE.png',
        type=pathlib.Path,
        help='write the frames that the answer rests on as a contact sheet; not for memory',
    )


def load_client() -> type[StreamClient]:
    """Import the ROS client.

    Raises:
        CommandError: ROS is not installed, or the package's interfaces are not built.

    """
    try:
        from streamvlm_ros.client.client import StreamClient
    except ImportError as error:
        raise CommandError(
            f'ROS 2 is not available ({error}); source its setup file and that of the '
            'workspace, or call scripts/with_ros streamvlm in the repository.'
        ) from error
    return StreamClient


def connect(name: str) -> StreamClient:
    """Return a client of the node with this name; raises as `load_client`."""
    return load_client()(name)


def parse_stamp(text: str) -> int:
    """Return a header stamp given in seconds as nanoseconds, exactly.

    Raises:
        CommandError: it is not such a number.

    """
    try:
        stamp_ns = int(Decimal(text) * NANOSECONDS)
    except (InvalidOperation, ValueError, OverflowError):
        stamp_ns = -1
    if not 0 <= stamp_ns <= LAST_STAMP:
        raise CommandError(f'{text!r} is not a time stamp in seconds.')
    return stamp_ns


def view_fields(robot: StreamClient, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of the client that say what is looked at.

    Raises:
        CommandError: a time cannot be read, there is no frame that it could be counted from, or
            another view than a span has one.

    """
    moments = {'since': arguments.since, 'until': arguments.until}
    if arguments.view not in ('', 'span') and any(moments.values()):
        raise CommandError(
            f'--since and --until are those of a span, and the view is {arguments.view}; leave '
            'them out, or --view.'
        )
    return {
        'view': arguments.view,
        **{name: _moment(robot, f'--{name}', text) for name, text in moments.items() if text},
    }


def _moment(robot: StreamClient, option: str, text: str) -> int:
    """Return a time of a span in nanoseconds, at least 1: 0 would stand for an open end."""
    ago = _AGO.fullmatch(text)
    if ago is None:
        try:
            return max(1, parse_stamp(text))
        except CommandError:
            raise CommandError(
                f'{option} {text!r} is no time; give a header stamp in seconds, or how long '
                'before the newest frame, as 90s, 5m or 3h.'
            ) from None
    newest_ns = robot.status().stamp_ns
    if not newest_ns:
        raise CommandError(
            f'{option} {text} counts from the newest frame, and no frame has come in yet.'
        )
    return max(1, newest_ns - int(Decimal(ago[1]) * UNITS[ago[2]] * NANOSECONDS))


def evidence_line(answer: Answer) -> str:
    """Return in words what an answer rests on."""
    seen = answer.evidence
    first, last = seen.first_stamp_ns / NANOSECONDS, seen.last_stamp_ns / NANOSECONDS
    exact = 'exact' if seen.exact else 'not exact: older frames were evicted'
    fresh = len(seen.stamps_ns)
    sharp = f', the last {fresh} read afresh' if 0 < fresh < seen.frames else ''
    return (
        f'{seen.view}: {seen.frames} frames from {first:.3f} to {last:.3f} s{sharp}, '
        f'{seen.width} x {seen.height} pixels, {exact}'
    )


def answer_fields(answer: Answer) -> dict[str, Any]:
    """Return an answer as it is printed in JSON, stamps in seconds."""
    seen = answer.evidence
    return {
        'question': answer.question,
        'answer': answer.text,
        'choice_index': answer.choice_index,
        'choice_probabilities': [round(p, 6) for p in answer.choice_probabilities],
        'finish_reason': answer.finish_reason,
        'frames': answer.frames,
        'epoch': answer.epoch,
        'stamp': answer.stamp_ns / NANOSECONDS,
        'frame_id': answer.frame_id,
        'prompt_tokens': answer.prompt_tokens,
        'completion_tokens': answer.completion_tokens,
        'ttft_ms': round(answer.time_to_first_token * 1e3, 3),
        'total_ms': round(answer.total_time * 1e3, 3),
        'evidence': {
            'view': seen.view,
            'exact': seen.exact,
            'first_stamp': seen.first_stamp_ns / NANOSECONDS,
            'last_stamp': seen.last_stamp_ns / NANOSECONDS,
            'frames': seen.frames,
            'stamps': [stamp_ns / NANOSECONDS for stamp_ns in seen.stamps_ns],
            'height': seen.height,
            'width': seen.width,
        },
    }


def print_answer(answer: Answer, as_json: bool, *, is_written: bool = False) -> None:
    """Print the answer on stdout, and on stderr how long it took and what it rests on.

    Text that `is_written` there already is not printed again.
    """
    values = answer_fields(answer)
    if as_json:
        print(json.dumps(values))
        return
    if not is_written:
        print(values['answer'])
    print(
        f'({values["frames"]} frames seen, first token after {values["ttft_ms"]:.0f} ms, '
        f'complete after {values["total_ms"]:.0f} ms)',
        file=sys.stderr,
    )
    print(f'({evidence_line(answer)})', file=sys.stderr)
