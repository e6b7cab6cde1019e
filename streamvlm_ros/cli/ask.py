# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ask a running node a question: `ask` is answered in free text, `choose` by a given answer."""

from __future__ import annotations

import argparse
from typing import Any, TYPE_CHECKING

from streamvlm_ros import interrupts
from streamvlm_ros.cli.calls import (
    add_question_arguments,
    add_show_argument,
    add_view_arguments,
    connect,
    evidence_line,
    parse_stamp,
    print_answer,
    view_fields,
)
from streamvlm_ros.cli.generation import add_generation_arguments, generation_fields
from streamvlm_ros.errors import CommandError, StreamError
from streamvlm_ros.stamps import NANOSECONDS

if TYPE_CHECKING:
    from streamvlm_ros.client.client import StreamClient
    from streamvlm_ros.client.outputs import Answer


def add_ask_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ask`."""
    parser.add_argument('question')
    add_question_arguments(parser)
    add_view_arguments(parser)
    add_show_argument(parser)
    parser.add_argument('--max-new-tokens', type=int, default=0, help='0: the node decides')
    parser.add_argument(
        '--stream',
        action='store_true',
        help='print the answer while it is written; Ctrl-C ends the answer',
    )
    add_generation_arguments(parser)


def ask(arguments: argparse.Namespace) -> int:
    """Ask for free text and print it; needs ROS."""
    if not 0 <= arguments.max_new_tokens < 2**32:
        raise CommandError('--max-new-tokens is a number of tokens, 0 or more.')
    asked = {
        'timeout': arguments.timeout,
        'after': parse_stamp(arguments.after),
        'max_new_tokens': arguments.max_new_tokens,
        **generation_fields(arguments),
    }
    with connect(arguments.node) as robot:
        asked |= _look(robot, arguments)
        if arguments.stream:
            answer = _stream(robot, arguments.question, asked, quiet=arguments.json)
        else:
            answer = robot.ask(arguments.question, **asked)
    is_written = bool(arguments.stream and answer.text)
    print_answer(answer, arguments.json, is_written=is_written)
    return _show(arguments, answer)


def add_choose_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `choose`."""
    parser.add_argument('question')
    parser.add_argument('choices', nargs='+', metavar='CHOICE', help='2 to 26 answers')
    add_question_arguments(parser)
    add_view_arguments(parser)
    add_show_argument(parser)


def choose(arguments: argparse.Namespace) -> int:
    """Ask which answer fits and print it; needs ROS."""
    after = parse_stamp(arguments.after)
    with connect(arguments.node) as robot:
        answer = robot.ask_choice(
            arguments.question,
            arguments.choices,
            timeout=arguments.timeout,
            after=after,
            **_look(robot, arguments),
        )
    print_answer(answer, arguments.json)
    return _show(arguments, answer)


def _look(robot: StreamClient, arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of the client that say what to look at."""
    return {**view_fields(robot, arguments), 'return_frames': arguments.show is not None}


def _show(arguments: argparse.Namespace, answer: Answer) -> int:
    """Write the frames of the answer where that was asked for; return the exit code."""
    if arguments.show is None or not answer.pictures:  # of an answer that was canceled
        return 0
    from streamvlm_ros.cli.contact_sheet import Note, write_pictures

    newest_ns = answer.pictures[-1].stamp_ns
    try:
        write_pictures(
            arguments.show,
            f'{answer.evidence.view}: {answer.evidence.frames} frames',
            [
                Note(answer.question, answer.text, None),
                Note(f'Rests on {evidence_line(answer)}.', '', None),
            ],
            [picture.decode() for picture in answer.pictures],
            [(picture.stamp_ns - newest_ns) / NANOSECONDS for picture in answer.pictures],
        )
    except OSError as error:
        raise CommandError(f'--show {arguments.show} cannot be written: {error}') from error
    return 0


def _stream(robot: StreamClient, question: str, asked: dict[str, Any], *, quiet: bool) -> Answer:
    """Ask by the action, print the text as it arrives, and return the answer; Ctrl-C cancels."""
    written, is_canceled = '', False
    with interrupts.deferred(), robot.stream_answer(question, **asked) as stream:
        try:
            while stream.answer is None:
                try:
                    for delta in stream:
                        written += delta
                        if not quiet:
                            print(delta, end='', flush=True)
                except KeyboardInterrupt:
                    stream.cancel()
                    is_canceled = True
        except StreamError:
            if is_canceled:  # before the node had the question, or it has ended
                raise KeyboardInterrupt from None
            raise
        finally:
            if written and not quiet:
                print()
    return stream.result()
