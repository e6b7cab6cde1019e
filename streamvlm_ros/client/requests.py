# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Checks what is asked for, and writes it into the messages of services and action.

rclpy refuses a value that does not fit by an assertion without words; here it is a sentence. What
only the node can know (bounds of its parameters, names in use) is left to the node.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
import math
from typing import Any, cast, Literal, TypedDict

from builtin_interfaces.msg import Time

from streamvlm_ros.answer_settings import AnswerSettings
from streamvlm_ros.errors import ErrorCode, StreamError
from streamvlm_ros.stamps import LAST_STAMP, NANOSECONDS, to_nanoseconds
from streamvlm_ros.view import View, ViewName

UINT32 = 2**32 - 1


class GenerationOptions(TypedDict, total=False):
    """How an answer is drawn; what is left out is as the node has it (docs/interfaces.md).

    Attributes:
        generation: 'model' or 'plain': where the other settings come from.
        sample: draw tokens at random.
        temperature: of the softmax.
        top_p: share of the most probable tokens to draw from.
        top_k: number of the most probable tokens to draw from.
        min_p: least probability, as a share of the most probable token's.
        repetition_penalty: for tokens that are there already.
        seed: of the random numbers.

    """

    generation: str
    sample: bool
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    seed: int


def question_fields(question: str, *, after: int | Time, timeout: float) -> dict[str, Any]:
    """Return the fields that all questions have.

    Raises:
        InvalidRequestError: a value is not possible.

    """
    return {
        'question': text('question', question),
        'after': stamp(after, 'after'),
        'timeout': seconds(timeout),
    }


def view_fields(
    view: ViewName | Literal[''], since: int | Time, until: int | Time
) -> dict[str, Any]:
    """Return the fields that say what a question looks at.

    Raises:
        InvalidRequestError: there is no such view, or no such span.

    """
    name = text('view', view)
    first, last = stamp(since, 'since'), stamp(until, 'until')
    first_ns, last_ns = to_nanoseconds(first), to_nanoseconds(last)
    if name or first_ns or last_ns:
        View(cast(ViewName, name or 'span'), first_ns, last_ns)
    return {'view': name, 'since': first, 'until': last}


def question_view(
    view: ViewName | Literal[''], since: int | Time, until: int | Time, return_frames: bool
) -> dict[str, Any]:
    """Return the fields of `view_fields`, and whether the frames are to come with the answer."""
    return {
        **view_fields(view, since, until),
        'return_frames': flag('return_frames', return_frames),
    }


def text_fields(
    max_new_tokens: int, update_state: bool, options: GenerationOptions
) -> dict[str, Any]:
    """Return the fields of questions that are answered in free text.

    Raises:
        InvalidRequestError: a value is not possible.
        TypeError: there is no such option.

    """
    return {
        'max_new_tokens': whole('max_new_tokens', max_new_tokens),
        'update_state': flag('update_state', update_state),
        **dataclasses.asdict(AnswerSettings(**options)),
    }


def text(name: str, value: str) -> str:
    """Return a text that a message can carry; raises InvalidRequestError."""
    if not isinstance(value, str):
        raise invalid(f'{name} is a text, not {_shown(value)}.')
    try:
        value.encode()
    except UnicodeEncodeError:
        raise invalid(
            f'{name} has characters that are no Unicode text: {_shown(value)}.'
        ) from None
    return value


def texts(name: str, values: Sequence[str]) -> list[str]:
    """Return a list of texts; raises InvalidRequestError."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise invalid(f'{name} is a list of texts, not {_shown(values)}.')
    return [text(f'each of {name}', value) for value in values]


def whole(name: str, value: int, least: int = 0, most: int = UINT32) -> int:
    """Return a whole number in its bounds; raises InvalidRequestError."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise invalid(f'{name} is a whole number from {least} to {most}, not {_shown(value)}.')
    return value


def seconds(value: float, name: str = 'timeout') -> float:
    """Return a time in seconds; raises InvalidRequestError."""
    if not _is_number(value) or not math.isfinite(value) or value < 0:
        raise invalid(f'{name} is a number of seconds, 0 or more, not {_shown(value)}.')
    return float(value)


def flag(name: str, value: bool) -> bool:
    """Return True or False; raises InvalidRequestError."""
    if not isinstance(value, bool):
        raise invalid(f'{name} is True or False, not {_shown(value)}.')
    return value


def number(name: str, value: float) -> float:
    """Return a number; the node knows its bounds; raises InvalidRequestError."""
    if not _is_number(value) or math.isnan(value):
        raise invalid(f'{name} is a number, not {_shown(value)}.')
    return float(value)


def stamp(value: int | Time, name: str) -> Time:
    """Return a stamp as a message's time; raises InvalidRequestError.

    Args:
        value: integer nanoseconds, or the stamp of a message's header.
        name: of the argument.

    """
    if isinstance(value, Time):
        return value
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LAST_STAMP:
        raise invalid(
            f'{name} is a header stamp: whole nanoseconds from 0 to {LAST_STAMP}, or '
            f'message.header.stamp; not {_shown(value)}.'
        )
    sec, nanosec = divmod(value, NANOSECONDS)
    return Time(sec=sec, nanosec=nanosec)


def checked(response: Any) -> Any:
    """Return a response, or raise the fault in it: a StreamError of the class of its code."""
    if response.success:
        return response
    try:
        code = ErrorCode(response.error_code)
    except ValueError:
        code = ErrorCode.INTERNAL
    raise StreamError(code, response.error_msg)


def invalid(sentence: str) -> StreamError:
    """Return the error for a value that is not possible."""
    return StreamError(ErrorCode.INVALID_REQUEST, sentence)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f'{shown[:77]}...'
