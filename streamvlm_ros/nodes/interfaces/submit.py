# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How services and goals reach the worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Future
import dataclasses
import math
from typing import Any

from streamvlm_ros.answer_settings import AnswerSettings
from streamvlm_ros.engine import Answer, ErrorCode, StreamError, StreamWorker
from streamvlm_ros.stamps import to_nanoseconds
from streamvlm_ros.view import View

# Hands a request to the worker and awaits its result; `gate.Places.result`.
Submit = Callable[[Callable[[StreamWorker], 'Future[Any]']], Awaitable[Any]]
# Returns a parameter's value as it is now.
ParameterValue = Callable[[str], Any]


def submit_question(
    worker: StreamWorker, request: Any, parameter: ParameterValue, **options: Any
) -> Future[Answer]:
    """Hand a question in free text to the worker.

    Args:
        worker: who answers.
        request: of `~/ask`, or a goal of `~/answer`.
        parameter: gives what the request leaves open.
        options: further arguments of `StreamWorker.ask`.

    Raises:
        StreamError: INVALID_REQUEST for an impossible timeout, settings that are out of range, or
            no such view.

    """
    return worker.ask(
        request.question,
        max_new_tokens=request.max_new_tokens or parameter('max_new_tokens'),
        update_state=request.update_state,
        settings=_fields(lambda name: getattr(request, name)).over(_fields(parameter)),
        after_ns=to_nanoseconds(request.after),
        timeout=_timeout(request.timeout, parameter),
        view=view_of(request, parameter),
        return_frames=request.return_frames,
        **options,
    )


def submit_choice(
    worker: StreamWorker, request: Any, parameter: ParameterValue, **options: Any
) -> Future[Answer]:
    """Hand a question with choices to the worker; otherwise as `submit_question`."""
    return worker.ask_choice(
        request.question,
        request.choices,
        after_ns=to_nanoseconds(request.after),
        timeout=_timeout(request.timeout, parameter),
        view=view_of(request, parameter),
        return_frames=request.return_frames,
        **options,
    )


def view_of(request: Any, parameter: ParameterValue) -> View:
    """Return what a question or a watch looks at.

    Raises:
        StreamError: INVALID_REQUEST; there is no such view, or no such span.

    """
    since_ns, until_ns = to_nanoseconds(request.since), to_nanoseconds(request.until)
    is_span = bool(since_ns or until_ns)
    return View(request.view or ('span' if is_span else parameter('view')), since_ns, until_ns)


def _fields(value: ParameterValue) -> AnswerSettings:
    """Return the settings that a request's fields, or the node's parameters, have."""
    return AnswerSettings(
        **{field.name: value(field.name) for field in dataclasses.fields(AnswerSettings)}
    )


def _timeout(seconds: float, parameter: ParameterValue) -> float:
    """Return the seconds of a request: always finite, at most max_request_timeout."""
    if not (math.isfinite(seconds) and seconds >= 0.0):
        raise StreamError(
            ErrorCode.INVALID_REQUEST,
            f'A timeout of {seconds:g} s is not possible; give 0 for the default, or more.',
        )
    most = float(parameter('max_request_timeout'))
    return min(float(seconds or parameter('request_timeout')) or most, most)
