# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the verbs that call a node share: arguments, the client, and how an answer is printed."""

from __future__ import annotations

import argparse
from decimal import Decimal, InvalidOperation
import json
import sys
from typing import Any, TYPE_CHECKING

from streamvlm_ros.errors import CommandError
from streamvlm_ros.stamps import LAST_STAMP, NANOSECONDS

if TYPE_CHECKING:
    from streamvlm_ros.client.client import StreamClient
    from streamvlm_ros.client.outputs import Answer


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


def answer_fields(answer: Answer) -> dict[str, Any]:
    """Return an answer as it is printed in JSON, stamps in seconds."""
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
    }


def print_answer(answer: Answer, as_json: bool, *, is_written: bool = False) -> int:
    """Print the answer on stdout, and on stderr how many frames and how long it took.

    Text that `is_written` there already is not printed again.
    """
    values = answer_fields(answer)
    if as_json:
        print(json.dumps(values))
        return 0
    if not is_written:
        print(values['answer'])
    print(
        f'({values["frames"]} frames seen, first token after {values["ttft_ms"]:.0f} ms, '
        f'complete after {values["total_ms"]:.0f} ms)',
        file=sys.stderr,
    )
    return 0
